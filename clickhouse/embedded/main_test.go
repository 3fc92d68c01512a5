package embedded_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/goleak"

	"leadevents/clickhouse/embedded"
)

// parentVariable makes this test binary a parent that starts an engine on the
// folder it names, tells its pid and waits to be killed.
const parentVariable = "EMBEDDED_TEST_PARENT"

func TestMain(m *testing.M) {
	embedded.Main()
	if dir := os.Getenv(parentVariable); dir != "" {
		server, err := embedded.Start(context.Background(), config(dir))
		if err != nil {
			panic(err)
		}
		fmt.Println(server.Endpoint().PID)
		select {}
	}
	goleak.VerifyTestMain(m)
}

func config(dir string) embedded.Config {
	return embedded.Config{DataDir: dir, Databases: []string{"shop"}, MemoryLimitBytes: 1 << 30}
}

func start(t *testing.T, cfg embedded.Config) *embedded.Server {
	t.Helper()
	server, err := embedded.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	return server
}

func stop(t *testing.T, server *embedded.Server) {
	t.Helper()
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// connect speaks the native protocol, as the program does.
func connect(t *testing.T, e embedded.Endpoint) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr:        []string{e.Native},
		Auth:        clickhouse.Auth{Database: "shop", Username: e.User, Password: e.Password},
		DialTimeout: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func fill(t *testing.T, conn driver.Conn) {
	t.Helper()
	if err := conn.Exec(t.Context(), "CREATE TABLE shop.sales (id UInt64) ENGINE = MergeTree ORDER BY id"); err != nil {
		t.Fatal(err)
	}
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO shop.sales")
	if err != nil {
		t.Fatal(err)
	}
	for id := range uint64(1000) {
		if err := batch.Append(id); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, conn driver.Conn) uint64 {
	t.Helper()
	var n uint64
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM shop.sales").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.HasPrefix(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " Z")
}

func parent(t *testing.T, dir string) (cmd *exec.Cmd, pid int) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), parentVariable+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fscanln(out, &pid); err != nil {
		t.Fatalf("the parent did not come up: %v", err)
	}
	return cmd, pid
}
