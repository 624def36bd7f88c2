// Command refsn serves containerd's own overlayfs snapshotter on a unix socket, as a proxy plugin
// would: what slackerd is compared with.
//
//	refsn --root DIR --socket PATH
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/contrib/snapshotservice"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
)

func serve(ctx context.Context, root, socket string) error {
	snapshotter, err := overlay.NewSnapshotter(root)
	if err != nil {
		return err
	}
	defer snapshotter.Close()
	if err := os.RemoveAll(socket); err != nil {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	snapshotsapi.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(snapshotter))
	go func() {
		<-ctx.Done()
		server.Stop()
	}()
	return server.Serve(listener)
}

func main() {
	root := flag.String("root", "", "directory of the snapshotter's state")
	socket := flag.String("socket", "", "unix socket to serve")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	if err := serve(ctx, *root, *socket); err != nil {
		fmt.Fprintln(os.Stderr, "refsn:", err)
		os.Exit(1)
	}
}
