package storetest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// programs builds what users run, once a test process.
var programs struct {
	once sync.Once
	dir  string
	err  error
}

// Programs is a folder with the binaries leadevents and loadgen, as users build
// them; it goes with the stores' files.
func Programs(t testing.TB) string {
	t.Helper()
	programs.once.Do(func() {
		shared.mu.Lock()
		programs.dir, programs.err = shared.folder("programs")
		shared.mu.Unlock()
		for _, name := range []string{"leadevents", "loadgen"} {
			if programs.err != nil {
				return
			}
			out, err := exec.Command("go", "build", "-ldflags=-s", "-o", filepath.Join(programs.dir, name), "leadevents/cmd/"+name).CombinedOutput()
			if err != nil {
				programs.err = fmt.Errorf("go build %s: %w\n%s", name, err, out)
			}
		}
	})
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	return programs.dir
}
