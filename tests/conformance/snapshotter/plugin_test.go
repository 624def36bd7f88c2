// The part that both suites share: a snapshotter process of its own for every subtest.
package conformance

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
)

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 20 * time.Second
	// The name that the suites are told. They relax one rename that no overlay mount can do, and
	// only for snapshotters of this name.
	suiteName = "overlayfs"
)

// forks carries what must run on one thread that never ends: Pdeathsig fires when the forking
// thread does, and the suites' mount calls end threads.
var forks = make(chan func())

func init() {
	go func() {
		runtime.LockOSThread()
		for fork := range forks {
			fork()
		}
	}()
}

type plugin struct {
	dir    string
	socket string
	cmd    *exec.Cmd
	exited chan error
}

// connect starts a plugin on root; the function that is returned stops it.
func connect(root string, option grpc.DialOption) (*grpc.ClientConn, func() error, error) {
	p, err := startPlugin(root)
	if err != nil {
		return nil, nil, err
	}
	connection, err := grpc.Dial("unix://"+p.socket, option)
	if err != nil {
		return nil, nil, err
	}
	return connection, func() error {
		_ = connection.Close()
		return p.stop()
	}, nil
}

// startPlugin runs $SLACKER_SUITE_COMMAND, in which {root}, {socket} and {config} (a file that gives
// it a run directory of its own) are replaced, and returns when it says that it serves.
func startPlugin(root string) (*plugin, error) {
	command := os.Getenv("SLACKER_SUITE_COMMAND")
	if command == "" {
		return nil, errors.New("SLACKER_SUITE_COMMAND is not set")
	}
	dir, err := os.MkdirTemp("", "sn") // short: a unix socket's path has at most 107 bytes
	if err != nil {
		return nil, err
	}
	p := &plugin{dir: dir, socket: filepath.Join(dir, "s"), exited: make(chan error, 1)}
	config := filepath.Join(dir, "config.toml")
	text := fmt.Sprintf("node.run_dir = %q\n", filepath.Join(dir, "run"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	args := strings.Fields(
		strings.NewReplacer("{root}", root, "{socket}", p.socket, "{config}", config).Replace(command))
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// As systemd does for a service of the type "notify".
	address := &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"}
	notify, err := net.ListenUnixgram("unixgram", address)
	if err != nil {
		return nil, err
	}
	p.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+address.Name)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	forks <- func() { started <- p.cmd.Start() }
	if err := <-started; err != nil {
		return nil, err
	}
	ready := make(chan error, 1)
	go func() { ready <- awaitReady(notify) }()
	go func() {
		p.exited <- p.cmd.Wait()
		_ = notify.Close() // whoever waits for a message waits in vain
	}()
	if err := <-ready; err != nil {
		_ = p.cmd.Process.Kill()
		return nil, fmt.Errorf("the snapshotter did not start (%v): %s", err, p.log())
	}
	return p, nil
}

// awaitReady waits for the message that the service serves.
func awaitReady(notify *net.UnixConn) error {
	if err := notify.SetReadDeadline(time.Now().Add(startTimeout)); err != nil {
		return err
	}
	message := make([]byte, 256)
	for {
		size, err := notify.Read(message)
		if err != nil {
			return err
		}
		if strings.Contains(string(message[:size]), "READY=1") {
			return nil
		}
	}
}

// stop asks the process to end and fails when it does not, or not cleanly, or leaves a process or a
// mount.
func (p *plugin) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-p.exited:
		if err != nil {
			return fmt.Errorf("the snapshotter ended badly (%v): %s", err, p.log())
		}
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		return fmt.Errorf("the snapshotter did not end on SIGTERM: %s", p.log())
	}
	if err := p.awaitNothingLeft(); err != nil {
		return err
	}
	return os.RemoveAll(p.dir)
}

// awaitNothingLeft waits for the ends of processes with a path of the plugin's among their
// arguments (they follow its own) and fails when one stays, or a mount does.
func (p *plugin) awaitNothingLeft() error {
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	for _, path := range commands {
		command, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(command), p.dir+"/") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return err
		}
		if err := awaitEnd(pid); err != nil {
			return fmt.Errorf("the snapshotter left %q: %w", command, err)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	if strings.Contains(string(mounts), " "+p.dir+"/") {
		return fmt.Errorf("the snapshotter left a mount below %s:\n%s", p.dir, mounts)
	}
	return nil
}

func awaitEnd(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for {
		polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		ready, err := unix.Poll(polled, int(stopTimeout.Milliseconds()))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case ready == 0:
			return errors.New("it does not end")
		default:
			return nil
		}
	}
}

func (p *plugin) log() string {
	text, _ := os.ReadFile(filepath.Join(p.dir, "log"))
	if len(text) > 4000 {
		text = text[len(text)-4000:]
	}
	return string(text)
}
