"""A container on an image that is complete reads everything when slackerd, its keeper and the store are gone."""
from harness.process import drop_caches, wait_for
from scenarios import killed


def run(world):
    image = world.image("debian")
    expected = killed.read_once(world, image)
    world.publish(image)
    node = world.node(settings=world.home.settings + "[cache]\ncomplete_rate = 1073741824\n")
    started = killed.start_waiting(node, image)
    node.await_complete(image)
    node.kill_slackerd_and_keeper()
    world.home.go_away()
    drop_caches()
    killed.let_read(node, started)
    killed.check_end(node, started, expected)
    world.home.come_back()
    node.start_slackerd()
    wait_for(node.is_connected, "containerd to be connected again")
    node.remove_sandbox(started["sandbox_id"])
