// containerd 2's snapshotter suite, through its proxy client, against $SLACKER_SUITE_COMMAND.
package conformance

import (
	"context"
	"testing"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/proxy"
	"github.com/containerd/containerd/v2/core/snapshots/testsuite"
	_ "github.com/containerd/containerd/v2/pkg/testutil" // registers -test.root
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func TestSuite(t *testing.T) {
	testsuite.SnapshotterSuite(t, suiteName,
		func(_ context.Context, root string) (snapshots.Snapshotter, func() error, error) {
			connection, stop, err := connect(root, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				return nil, nil, err
			}
			return proxy.NewSnapshotter(snapshotsapi.NewSnapshotsClient(connection), suiteName), stop, nil
		})
}
