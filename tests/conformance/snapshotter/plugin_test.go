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
	"strings"
	"syscall"
	"time"
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

// startPlugin runs $SLACKER_SUITE_COMMAND, in which {root}, {socket} and {config} (an empty file)
// are replaced, and returns when the socket accepts connections.
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
	if err := os.WriteFile(config, nil, 0o600); err != nil {
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
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	forks <- func() { started <- p.cmd.Start() }
	if err := <-started; err != nil {
		return nil, err
	}
	go func() { p.exited <- p.cmd.Wait() }()
	return p, p.awaitSocket()
}

func (p *plugin) awaitSocket() error {
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); {
		select {
		case err := <-p.exited:
			return fmt.Errorf("the snapshotter ended at its start (%v): %s", err, p.log())
		default:
		}
		if connection, err := net.Dial("unix", p.socket); err == nil {
			return connection.Close()
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("the snapshotter did not listen: %s", p.log())
}

// stop asks the process to end and fails when it does not, or not cleanly.
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
	return os.RemoveAll(p.dir)
}

func (p *plugin) log() string {
	text, _ := os.ReadFile(filepath.Join(p.dir, "log"))
	if len(text) > 4000 {
		text = text[len(text)-4000:]
	}
	return string(text)
}
