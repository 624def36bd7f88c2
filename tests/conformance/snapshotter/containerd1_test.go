// The snapshotter suite of Debian's containerd, through its proxy client, against
// $SLACKER_SUITE_COMMAND. Built from Debian's source packages, without modules.
package conformance

import (
	"context"
	"testing"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	_ "github.com/containerd/containerd/pkg/testutil" // registers -test.root
	"github.com/containerd/containerd/snapshots"
	"github.com/containerd/containerd/snapshots/proxy"
	"github.com/containerd/containerd/snapshots/testsuite"
	"google.golang.org/grpc"
)

func TestSuite(t *testing.T) {
	testsuite.SnapshotterSuite(t, suiteName,
		func(_ context.Context, root string) (snapshots.Snapshotter, func() error, error) {
			connection, stop, err := connect(root, grpc.WithInsecure())
			if err != nil {
				return nil, nil, err
			}
			return proxy.NewSnapshotter(snapshotsapi.NewSnapshotsClient(connection), suiteName), stop, nil
		})
}
