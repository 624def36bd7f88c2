"""Where a world's store is: what publishers open, and what its nodes read."""


class Loopback:
    """A directory, for publishers and nodes alike."""

    def __init__(self, tools, directory):
        del tools
        self.directory = f"{directory}/store"
        self.url = self.node_url = f"loopback:{self.directory}"
        self.settings = ""  # a node's configuration, as TOML
        self.publish_options = ()

    def join(self, network):
        """Makes node_url reachable from a node's network namespace, given as a path."""

    def stop(self):
        """Ends what serves the store; its directory goes with the world's."""


STORES = {"loopback": Loopback}
