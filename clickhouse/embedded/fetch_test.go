package embedded_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"leadevents/clickhouse/embedded"
)

func sum(data []byte) string {
	digest := sha256.Sum256(data)
	return hex.EncodeToString(digest[:])
}

// fetcher runs npm/fetch.sh with a cache of its own and an npm of ours, which
// counts its calls and does what the test says.
type fetcher struct {
	dir   string
	cache string
}

const fakeNPM = `#!/bin/sh
echo "$*" >>"$FAKE_DIR/calls"
[ ! -f "$FAKE_DIR/fail" ] || { echo "npm error code EINTEGRITY"; exit 1; }
[ -f package-lock.json ] || { echo "no lock file"; exit 1; }
sleep 0.2
mkdir -p node_modules/@chdb/lib-linux-x64-gnu
printf engine >node_modules/@chdb/lib-linux-x64-gnu/libchdb.so
`

func newFetcher(t *testing.T) *fetcher {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "path"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "path", "npm"), []byte(fakeNPM), 0o700); err != nil {
		t.Fatal(err)
	}
	return &fetcher{dir: dir, cache: filepath.Join(dir, "cache")}
}

func (f *fetcher) run() (string, error) {
	cmd := exec.Command("sh", "npm/fetch.sh", filepath.Join(f.dir, "bin"))
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+f.cache, "FAKE_DIR="+f.dir, "PATH="+filepath.Join(f.dir, "path")+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (f *fetcher) mustRun(t *testing.T) {
	t.Helper()
	if out, err := f.run(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func (f *fetcher) calls() []string {
	data, _ := os.ReadFile(filepath.Join(f.dir, "calls"))
	return strings.Fields(strings.ReplaceAll(strings.TrimSpace(string(data)), " ", "_"))
}

func (f *fetcher) library() string {
	return filepath.Join(f.cache, "leadevents", "engine", embedded.Version(), "libchdb.so")
}

// check: the library is whole, linked, recorded, and nothing else is left.
func (f *fetcher) check(t *testing.T) {
	t.Helper()
	if data, err := os.ReadFile(filepath.Join(f.dir, "bin", "libchdb.so")); err != nil || string(data) != "engine" {
		t.Errorf("bin/libchdb.so holds %q (%v)", data, err)
	}
	var record struct {
		Version string
		Bytes   int64
		SHA256  string
	}
	data, err := os.ReadFile(f.library() + ".json")
	if err == nil {
		err = json.Unmarshal(data, &record)
	}
	if err != nil || record.Version != embedded.Version() || record.Bytes != 6 || record.SHA256 != sum([]byte("engine")) {
		t.Errorf("the record is %+v (%v)", record, err)
	}
	entries, err := filepath.Glob(filepath.Join(f.cache, "leadevents", "engine", ".fetch*"))
	if err != nil || len(entries) != 0 {
		t.Errorf("temporary folders are left: %v %v", entries, err)
	}
}

func TestTheEngineIsFetchedOnce(t *testing.T) {
	f := newFetcher(t)
	f.mustRun(t)
	f.check(t)
	f.mustRun(t)
	if calls := f.calls(); len(calls) != 1 || !strings.HasPrefix(calls[0], "ci_--ignore-scripts") {
		t.Errorf("npm was called %v, want one ci that runs no scripts", calls)
	}
}

func TestFetchingTwiceAtOnceFetchesOnce(t *testing.T) {
	f := newFetcher(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if out, err := f.run(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	wg.Wait()
	f.check(t)
	if calls := f.calls(); len(calls) != 1 {
		t.Errorf("npm was called %d times, want once", len(calls))
	}
}

func TestADamagedEngineIsFetchedAgain(t *testing.T) {
	for name, damage := range map[string]func(*fetcher) error{
		"cut off": func(f *fetcher) error {
			if err := os.Chmod(f.library(), 0o700); err != nil {
				return err
			}
			return os.Truncate(f.library(), 3)
		},
		"without its record": func(f *fetcher) error { return os.Remove(f.library() + ".json") },
		"gone":               func(f *fetcher) error { return os.Remove(f.library()) },
		"with what a killed run left": func(f *fetcher) error {
			if err := os.Remove(f.library()); err != nil {
				return err
			}
			return os.Mkdir(filepath.Join(f.cache, "leadevents", "engine", ".fetch.killed"), 0o700)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFetcher(t)
			f.mustRun(t)
			if err := damage(f); err != nil {
				t.Fatal(err)
			}
			f.mustRun(t)
			f.check(t)
		})
	}
}

func TestAFailedFetchShowsNpmsReasonAndLeavesNothing(t *testing.T) {
	f := newFetcher(t)
	if err := os.WriteFile(filepath.Join(f.dir, "fail"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := f.run()
	if err == nil || !strings.Contains(out, "EINTEGRITY") || !strings.Contains(out, "npm could not fetch it") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Dir(f.library())); err == nil {
		t.Error("half a fetch is in the cache")
	}
	if err := os.Remove(filepath.Join(f.dir, "fail")); err != nil {
		t.Fatal(err)
	}
	f.mustRun(t)
	f.check(t)
}

func TestTheLockFilePinsThePackage(t *testing.T) {
	data, err := os.ReadFile("npm/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Packages map[string]struct{ Version, Integrity, Resolved string }
	}
	if err := json.Unmarshal(data, &lock); err != nil {
		t.Fatal(err)
	}
	pkg := lock.Packages["node_modules/@chdb/lib-linux-x64-gnu"]
	// Without an address npm asks the registry that its user has configured.
	if pkg.Version != embedded.Version() || !strings.HasPrefix(pkg.Integrity, "sha512-") || pkg.Resolved != "" {
		t.Errorf("the lock file has %+v, want version %s, a sha512 and no address", pkg, embedded.Version())
	}
}
