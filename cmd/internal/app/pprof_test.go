package app

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leadevents/configs"
)

// unreached is the settings of a server whose stores are not there, with profiles.
func unreached() configs.Settings {
	s := configs.Defaults()
	s.Listen, s.ClickHouse.Addrs, s.Redis.Addr = "127.0.0.1:0", []string{closed}, closed
	s.Pprof.Listen = "127.0.0.1:0"
	return s
}

// profilesAt is the URL that a server's log tells.
func profilesAt(t *testing.T, log *logOf) (url string) {
	t.Helper()
	eventually(t, "profiles are served", func() bool {
		for line := range strings.Lines(log.String()) {
			var entry struct{ Msg, URL string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "profiles are served" {
				url = entry.URL
			}
		}
		return url != ""
	})
	return url
}

// gzipHead is how every profile in its own format begins.
const gzipHead = "\x1f\x8b"

func TestProfilesAreServedBesideTheServer(t *testing.T) {
	log := &logOf{}
	base, stop := startServe(t, unreached(), log)
	defer stop()
	at := profilesAt(t, log)
	if status, text := get(t, at); status != http.StatusOK || !strings.Contains(text, "mutex?debug=1") {
		t.Errorf("the list: %d %s", status, text)
	}
	for _, name := range []string{"heap", "allocs", "block", "mutex", "goroutine", "profile?seconds=1"} {
		if status, text := get(t, at+name); status != http.StatusOK || !strings.HasPrefix(text, gzipHead) {
			t.Errorf("%s: %d, %d bytes", name, status, len(text))
		}
	}
	if status, text := get(t, at+"cmdline"); status != http.StatusNotFound {
		t.Errorf("the command line, which may have secrets in it: %d %s", status, text)
	}
	if status, text := get(t, base+"/debug/pprof/"); status != http.StatusNotFound || strings.Contains(text, "goroutine") {
		t.Errorf("the port for everybody: %d %s", status, text)
	}
	// A negative one reads what is set and changes nothing.
	if fraction := runtime.SetMutexProfileFraction(-1); fraction != mutexFraction {
		t.Errorf("contended locks are sampled 1 in %d, want 1 in %d", fraction, mutexFraction)
	}
	stop()
	if fraction := runtime.SetMutexProfileFraction(-1); fraction != 0 {
		t.Errorf("after the stop contended locks are sampled 1 in %d", fraction)
	}
}

func TestWithoutTheSettingNothingIsSampled(t *testing.T) {
	s, log := unreached(), &logOf{}
	s.Pprof.Listen = ""
	base, stop := startServe(t, s, log)
	defer stop()
	if strings.Contains(log.String(), "profiles") || runtime.SetMutexProfileFraction(-1) != 0 {
		t.Errorf("profiles without the setting:\n%s", log)
	}
	if status, _ := get(t, base+"/debug/pprof/"); status != http.StatusNotFound {
		t.Errorf("/debug/pprof/: %d", status)
	}
}

func TestAStopEndsAProfileUnderWay(t *testing.T) {
	log := &logOf{}
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(), // after the stop
		// Libraries of the stores and of HTTP, which look up every second that they are closed.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
	_, stop := startServe(t, unreached(), log)
	defer stop()
	at := profilesAt(t, log)
	answered := make(chan error, 1)
	go func() {
		response, err := http.Get(at + "profile?seconds=3600")
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
		answered <- err
	}()
	eventually(t, "a profile is under way", func() bool {
		stacks := make([]byte, 4<<20)
		return bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("net/http/pprof.sleep"))
	})
	began := time.Now()
	stop() // fails the test if it takes too long
	if took := time.Since(began); took > stopPprof {
		t.Errorf("the stop waited %s for the profile", took)
	}
	if err := <-answered; err != nil {
		t.Errorf("the profile that was ended early: %v", err)
	}
}

func TestATakenAddressOfProfilesIsAnError(t *testing.T) {
	log := &logOf{}
	_, stop := startServe(t, unreached(), log)
	defer stop()
	s := unreached()
	s.Pprof.Listen = strings.TrimSuffix(strings.TrimPrefix(profilesAt(t, log), "http://"), "/debug/pprof/")
	if err := Serve(t.Context(), s, quiet()); err == nil || !strings.Contains(err.Error(), "pprof.listen") || !strings.Contains(err.Error(), "another program has this port") {
		t.Errorf("serve: %v", err)
	}
}

func TestDevServesProfiles(t *testing.T) {
	s, log := configs.Defaults(), &logOf{}
	s.Pprof.Listen = "127.0.0.1:0"
	_, stop := startDevWith(t, s, filepath.Join(t.TempDir(), "data"), slog.New(slog.NewJSONHandler(log, nil)))
	if status, text := get(t, profilesAt(t, log)+"allocs"); status != http.StatusOK || !strings.HasPrefix(text, gzipHead) {
		t.Errorf("allocs: %d, %d bytes", status, len(text))
	}
	if err := stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestCheckTellsOfProfiles(t *testing.T) {
	s := configs.Defaults()
	if f, ok := find(checkSettings(s), "settings", "profiles"); ok {
		t.Errorf("without the setting: %+v", f)
	}
	s.Pprof.Listen = "127.0.0.1:6060"
	f, ok := find(checkSettings(s), "settings", "http://127.0.0.1:6060/debug/pprof/")
	var out bytes.Buffer
	if _, err := WriteFindings(&out, []Finding{f}); err != nil || !ok || f.Level != OK {
		t.Errorf("check: %+v, %v", f, err)
	}
}
