package chaos

import (
	"flag"
	"os"
	"testing"
	"time"

	"leadevents/clickhouse/embedded"
	"leadevents/internal/storetest"
)

// What `make chaos` says: how long, and which run.
var (
	duration = flag.Duration("duration", 45*time.Second, "how long faults are injected")
	seed     = flag.Uint64("seed", 1, "the same seed injects the same faults in the same order")
)

func TestMain(m *testing.M) {
	embedded.Main()
	if os.Getenv(naiveVariable) != "" {
		serveNaive() // this binary is the server of the naive ledger too
		return
	}
	storetest.Main(m)
}
