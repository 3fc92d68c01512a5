package storetest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leadevents/internal/child"
	"leadevents/internal/storetest"
)

func TestMain(m *testing.M) {
	storetest.Main(m, func() error { return goleak.Find() })
}

// failVariable makes TestVictim fail after it has used both stores.
const failVariable = "STORETEST_FAIL"

func TestVictim(t *testing.T) {
	database, redis := storetest.ClickHouse(t), storetest.Redis(t)
	if err := open(t, database).Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if err := client(t, redis).Set(t.Context(), redis.Prefix+"a", 1, 0).Err(); err != nil {
		t.Error(err)
	}
	if os.Getenv(failVariable) != "" {
		t.Error("asked to fail")
	}
	if os.Getenv(tellVariable) != "" {
		fmt.Fprintf(storetest.Output("the victim's log"), "connect to Redis with %s\n", redis.Password)
	}
}

// tellVariable makes TestVictim write a secret.
const tellVariable = "STORETEST_TELL"

func TestATestProcessThatTellsASecretFails(t *testing.T) {
	out, err := victim(t, t.TempDir(), tellVariable+"=1")
	if err == nil || !strings.Contains(out, "the victim's log tells Redis' password, in line 1: connect to Redis with …") {
		t.Errorf("%v\n%s", err, out)
	}
}

// victim runs TestVictim in a process of its own, with temporary files in dir.
func victim(t *testing.T, dir string, env ...string) (output string, err error) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestVictim$", "-test.v")
	cmd.Env = append(append(os.Environ(), "TMPDIR="+dir), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func left(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestATestProcessLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	if out, err := victim(t, dir); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if paths := left(t, dir); len(paths) != 0 {
		t.Errorf("files are left: %v", paths)
	}
}

func TestWhatAFailedTestStoredIsKeptAndNamed(t *testing.T) {
	dir := t.TempDir()
	out, err := victim(t, dir, failVariable+"=1")
	if err == nil {
		t.Fatal("the test did not fail")
	}
	match := regexp.MustCompile(`the database (t_victim_\d+) is kept in (\S+);`).FindStringSubmatch(out)
	if match == nil {
		t.Fatalf("the output names no database:\n%s", out)
	}
	if _, err := os.Lstat(filepath.Join(match[2], "data", "metadata", match[1]+".sql")); err != nil {
		t.Errorf("the database %s is not in %s: %v", match[1], match[2], err)
	}
	// Nobody holds the folder any more: both servers have ended.
	for _, name := range []string{"engine.pid", "../redis/redis.pid"} {
		if _, err := os.Stat(filepath.Join(match[2], name)); err == nil {
			t.Errorf("%s is still there: the server was not stopped", name)
		}
	}
}

func TestOnlyOldFoldersThatNobodyHoldsAreSwept(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-48 * time.Hour)
	for _, name := range []string{"old", "held", "young"} {
		folder, err := child.OpenFolder(filepath.Join(dir, "leadevents-test-"+name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "held" {
			t.Cleanup(func() { _ = folder.Close() })
		} else if err := folder.Close(); err != nil {
			t.Fatal(err)
		}
		if name != "young" {
			if err := os.Chtimes(folder.Path(), old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	if out, err := victim(t, dir); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := []string{filepath.Join(dir, "leadevents-test-held"), filepath.Join(dir, "leadevents-test-young")}
	if paths := left(t, dir); !slices.Equal(paths, want) {
		t.Errorf("left are %v, want %v", paths, want)
	}
}

func TestAMissingStoreFailsTheTestAndSaysWhatToInstall(t *testing.T) {
	for _, test := range []struct{ name, variable, want string }{
		{"the engine", "LEADEVENTS_ENGINE_LIBRARY=/nowhere/libchdb.so", "run `make build`"},
		{"redis-server", "PATH=/nowhere", "apt-get install redis-server"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			out, err := victim(t, dir, test.variable)
			if err == nil || !strings.Contains(out, "--- FAIL: TestVictim") || !strings.Contains(out, test.want) {
				t.Errorf("want a failure with %q, got %v\n%s", test.want, err, out)
			}
		})
	}
}
