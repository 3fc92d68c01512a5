package app

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leadevents/auth"
	"leadevents/configs"
	"leadevents/internal/child"
	"leadevents/internal/storetest"
)

// promised is how soon a change of credentials holds in every server (API.md 6).
const promised = 2 * time.Second

// administer is what the commands do: another process, as far as the server is
// concerned, with connections of its own.
func administer(t *testing.T, s configs.Settings, do func(*auth.Directory) error) {
	t.Helper()
	if err := Administer(t.Context(), s, quiet(), do); err != nil {
		t.Fatal(err)
	}
}

// organization7 makes the tables and organization 7; it returns its first key.
func organization7(t *testing.T, s configs.Settings) (key auth.Secret) {
	t.Helper()
	if err := Migrate(t.Context(), s, quiet()); err != nil {
		t.Fatal(err)
	}
	administer(t, s, func(d *auth.Directory) error {
		o, err := d.CreateOrganization(t.Context(), "test", 7)
		key = o.FirstKey.Key
		return err
	})
	return key
}

// judge sends what is no JSON: 400 tells that the key was accepted, 401 that it
// was not, and neither has asked Redis.
func judge(t *testing.T, base string, key auth.Secret) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/api/v1/webhooks/lead-events", strings.NewReader("{"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+key.Reveal())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	return response.StatusCode
}

// withinPromise asks until the answer is want. An answer to a request that began
// later than promised after since must be that.
func withinPromise(t *testing.T, since time.Time, base string, key auth.Secret, want int) {
	t.Helper()
	for ; ; time.Sleep(10 * time.Millisecond) {
		began := time.Now()
		got := judge(t, base, key)
		if got == want {
			t.Logf("%d from %s on", want, began.Sub(since).Round(time.Millisecond))
			return
		}
		if late := began.Sub(since); late > promised {
			t.Fatalf("%s after the change: %d, want %d", late, got, want)
		}
	}
}

// changes makes a key beside the server and revokes it again: each must hold in
// the server in time.
func changes(t *testing.T, s configs.Settings, base string) {
	t.Helper()
	var key auth.NewAPIKey
	administer(t, s, func(d *auth.Directory) (err error) {
		key, err = d.CreateKey(t.Context(), 7, auth.KeyRequest{Name: "beside the server"})
		return err
	})
	withinPromise(t, time.Now(), base, key.Key, http.StatusBadRequest)
	administer(t, s, func(d *auth.Directory) error {
		_, err := d.RevokeKey(t.Context(), 7, key.ID, false)
		return err
	})
	withinPromise(t, time.Now(), base, key.Key, http.StatusUnauthorized)
}

func TestAKeyMadeOrRevokedElsewhereCountsInARunningServerWithinTwoSeconds(t *testing.T) {
	s := storeSettings(t)
	first := organization7(t, s)
	base, stop := startServe(t, s, &logOf{})
	defer stop()
	if got := judge(t, base, first); got != http.StatusBadRequest {
		t.Fatalf("the first key: %d", got)
	}
	for range 3 {
		changes(t, s, base)
	}
	// What is judged is what counts: a whole event, by a key of that moment.
	if status, text := send(t, base, first.Reveal(), 7); status != http.StatusOK {
		t.Errorf("an event: %d %s", status, text)
	}
}

// Whatever becomes of Redis, it has no part in who is let in.
func TestAKeyMadeOrRevokedElsewhereCountsWithinTwoSecondsWithoutRedis(t *testing.T) {
	for _, c := range []struct {
		claim string
		fault func(*storetest.RedisServer) (end func())
	}{
		{"silent", func(r *storetest.RedisServer) func() { r.Pause(); return r.Resume }},
		{"gone", func(r *storetest.RedisServer) func() { r.Halt(); return r.Start }},
	} {
		t.Run(c.claim, func(t *testing.T) {
			redis := storetest.OwnRedis(t)
			s := storeSettings(t)
			s.Redis.Addr, s.Redis.Password = redis.Store().Addr, auth.NewSecret(redis.Store().Password)
			first := organization7(t, s)
			base, stop := startServe(t, s, &logOf{})
			defer stop()
			if status, text := send(t, base, first.Reveal(), 7); status != http.StatusOK {
				t.Fatalf("before the fault: %d %s", status, text)
			}
			defer c.fault(redis)()
			changes(t, s, base)
			if got := judge(t, base, first); got != http.StatusBadRequest {
				t.Errorf("the first key: %d", got)
			}
		})
	}
}

// The other half of the promise: a server that cannot ask whether a key was
// revoked does not go on accepting it.
func TestNoKeyIsAcceptedTwoSecondsAfterClickHouseFellSilent(t *testing.T) {
	engine := storetest.OwnClickHouse(t)
	store := engine.Store()
	s := storeSettings(t)
	s.ClickHouse.Addrs, s.ClickHouse.Database = []string{store.Native}, store.Database
	s.ClickHouse.User, s.ClickHouse.Password = store.User, auth.NewSecret(store.Password)
	first := organization7(t, s)
	base, stop := startServe(t, s, &logOf{})
	defer stop()
	if got := judge(t, base, first); got != http.StatusBadRequest {
		t.Fatalf("the first key: %d", got)
	}
	engine.Pause()
	withinPromise(t, time.Now(), base, first, http.StatusServiceUnavailable)
	engine.Resume()
	eventually(t, "accepted again", func() bool { return judge(t, base, first) == http.StatusBadRequest })
}

func TestAdministerBeforeThereIsAnythingToAdminister(t *testing.T) {
	unmigrated := storeSettings(t)
	gone := unmigrated
	gone.ClickHouse.Addrs = []string{closed}
	noKey := unmigrated
	noKey.MasterKey = auth.NewSecret("short")
	for _, c := range []struct {
		claim, says string
		s           configs.Settings
	}{
		{"no tables", "run `leadevents migrate`", unmigrated},
		{"no ClickHouse", closed + " cannot be used: dial tcp " + closed + ": connect: connection refused: start ClickHouse", gone},
	} {
		t.Run(c.claim, func(t *testing.T) {
			err := Administer(t.Context(), c.s, quiet(), func(*auth.Directory) error { t.Error("done all the same"); return nil })
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
	if err := Migrate(t.Context(), unmigrated, quiet()); err != nil {
		t.Fatal(err)
	}
	if err := Administer(t.Context(), noKey, quiet(), func(*auth.Directory) error { return nil }); err == nil || !strings.Contains(err.Error(), "master_key") {
		t.Errorf("a bad master key: %v", err)
	}
	failed := errors.New("failed")
	if err := Administer(t.Context(), unmigrated, quiet(), func(*auth.Directory) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("the error of what was done: %v", err)
	}
}

// Commands with --data-dir encrypt under the folder's master key: dev must always
// be able to decrypt with it, whatever its own settings bring.
func TestDevDecryptsWithTheMasterKeyOfItsFolder(t *testing.T) {
	a, b, c := auth.NewMasterKey(), auth.NewMasterKey(), auth.NewMasterKey()
	none := auth.Secret{}
	for _, r := range []struct {
		claim                     string
		kept, master, old         auth.Secret // in the folder; in the settings
		inFolder, current, former auth.Secret // afterwards; zero for inFolder and current: made
		says                      string
	}{
		{"first start", none, none, none, none, none, none, ""},
		{"first start with a setting", none, a, none, a, a, none, ""},
		{"later start", a, none, none, a, a, none, ""},
		{"the same setting as before", a, a, none, a, a, none, ""},
		{"another setting than before", a, b, none, a, b, a, ""},
		{"another, and the folder's as the old one", a, b, a, a, b, a, ""},
		{"two others", a, b, c, a, b, c, "neither master_key nor old_master_key"},
		{"a damaged file", auth.NewSecret("0f0f"), none, none, auth.NewSecret("0f0f"), none, none, "master-key: the master key is not 32 bytes"},
	} {
		t.Run(r.claim, func(t *testing.T) {
			folder, err := child.OpenFolder(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = folder.Close() }()
			if !r.kept.IsZero() {
				if err := folder.WriteFile(masterKeyFile, []byte(r.kept.Reveal()+"\n")); err != nil {
					t.Fatal(err)
				}
			}
			d := &dev{folder: folder}
			d.settings.MasterKey, d.settings.OldMasterKey = r.master, r.old
			err = d.masterKey()
			if r.says != "" {
				if err == nil || !strings.Contains(err.Error(), r.says) || strings.Contains(err.Error(), r.kept.Reveal()) {
					t.Errorf("got %v, want %q", err, r.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(folder.Path(), masterKeyFile)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the file's mode: %v, %v", info.Mode(), err)
			}
			inFolder := strings.TrimSpace(string(text))
			if r.inFolder.IsZero() { // made here
				r.inFolder, r.current = auth.NewSecret(inFolder), auth.NewSecret(inFolder)
			}
			if inFolder != r.inFolder.Reveal() || d.settings.MasterKey.Reveal() != r.current.Reveal() || d.settings.OldMasterKey.Reveal() != r.former.Reveal() {
				t.Error("another key in the folder or in force than expected")
			}
			ring, err := keyring(d.settings)
			if err != nil {
				t.Fatal(err)
			}
			key, err := auth.ParseMasterKey(auth.NewSecret(inFolder))
			if err != nil || !ring.Has(key) {
				t.Errorf("dev does not decrypt with the folder's key: %v", err)
			}
		})
	}
}
