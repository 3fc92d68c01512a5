package child

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// identity names one process for good. A pid alone is reused; together with
// the moment the kernel started it (clock ticks since boot), the boot and the
// executable it is not.
type identity struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks since boot, field 22 of /proc/PID/stat
	Boot  string `json:"boot"`
	Exe   string `json:"exe"`
}

// alive reports whether exactly this process still runs. A zombie does not: it
// holds no file and no port, and in a container nobody may ever reap it.
func (id identity) alive() bool {
	now, err := identify(id.PID)
	return err == nil && now == id
}

// record writes the identity of a started child. A child that is gone already
// needs no record.
func (f *Folder) record(name string, pid int) error {
	id, err := identify(pid)
	if err != nil {
		return nil
	}
	data, err := json.Marshal(id)
	if err != nil {
		return fmt.Errorf("encode the pid file of %s: %w", name, err)
	}
	return f.WriteFile(name+".pid", append(data, '\n'))
}

// endLeftover ends the child that an earlier process, killed before it could,
// left on this folder: the signal first (none for a child that stops by its
// stdin, whose other end died with its parent), SIGKILL after the grace time.
// It reports the pid it ended, or 0.
func (f *Folder) endLeftover(name string, signal syscall.Signal, grace time.Duration) (int, error) {
	path := f.Path(name + ".pid")
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the pid file of %s: %w", name, err)
	}
	var id identity
	// A torn pid file (power cut) names nobody; the process died with the power.
	if json.Unmarshal(data, &id) != nil || id.PID <= 1 {
		return 0, os.Remove(path)
	}
	// The handle comes before the check: where the kernel has pidfds it stays
	// with this process, so nothing can slip in between check and signal.
	process, err := os.FindProcess(id.PID)
	if err != nil || !id.alive() {
		return 0, os.Remove(path)
	}
	defer func() { _ = process.Release() }()
	if signal != 0 {
		_ = process.Signal(signal)
	}
	if !waitGone(id, grace) {
		_ = process.Kill()
		if !waitGone(id, killWait) {
			return id.PID, fmt.Errorf("%s (pid %d), left behind by an earlier run, does not end: end it by hand, then start again", name, id.PID)
		}
	}
	return id.PID, os.Remove(path)
}

// killWait is how long a SIGKILLed process may take to go: the kernel frees
// its memory and files first, a second or two for some gigabytes.
const killWait = 10 * time.Second

func waitGone(id identity, limit time.Duration) bool {
	deadline := time.Now().Add(limit)
	for id.alive() {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(10 * time.Millisecond)
	}
	return true
}
