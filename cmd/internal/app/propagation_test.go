package app

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"leadevents/auth"
	"leadevents/internal/storetest"
)

// metric is a metric's value, all its labels together; 0 if it has none yet.
func metric(t *testing.T, base, name string) (sum float64) {
	t.Helper()
	_, text := get(t, base+"/metrics")
	for line := range strings.Lines(text) {
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || line[:at] != name && !strings.HasPrefix(line, name+"{") {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		sum += value
	}
	return sum
}

// told is the time until a server has heard of a change by itself.
func told(t *testing.T, what string, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	eventually(t, what, ok)
	return time.Since(began)
}

// Two servers that poll once an hour: what is changed through one, or by a command,
// holds in the other long before it could have looked.
func TestAChangeIsHeardByTheOtherServerAtOnce(t *testing.T) {
	s, from := storeSettings(t), newSender(t)
	prove(t, &s, from)
	s.Auth.RefreshInterval, s.Auth.MaxStaleness = time.Hour, time.Hour
	base, stop := startServe(t, s, &logOf{})
	defer stop()
	other, stopOther := startServe(t, s, &logOf{})
	defer stopOther()
	from.base = base
	for _, base := range []string{base, other} {
		eventually(t, "it listens", func() bool { return metric(t, base, "leadevents_notify_connected") == 1 })
	}

	var took []time.Duration
	for range 5 {
		// A new key is there before anybody comes with it: the first request that
		// does would have it looked up.
		before := metric(t, other, "leadevents_auth_api_keys")
		made := from.administer(201, "second", http.MethodPost, keysPath, `{"name":"announced"}`)
		key := auth.NewSecret(made.Key)
		took = append(took, told(t, "the other server has the key", func() bool { return metric(t, other, "leadevents_auth_api_keys") > before }))
		if got := judge(t, other, key); got != http.StatusBadRequest {
			t.Fatalf("the key at the other server: %d", got)
		}
		from.administer(200, "second", http.MethodDelete, keysPath+"/"+made.ID, "")
		took = append(took, told(t, "the other server refuses it", func() bool { return judge(t, other, key) == http.StatusUnauthorized }))
	}
	slices.Sort(took)
	t.Logf("known elsewhere after %s at least, %s typically, %s at most", took[0], took[len(took)/2], took[len(took)-1])
	// How long is mostly the load of the machine, and printed. What holds anyhow: no poll of a server with the default settings is so quick.
	if took[0] > 500*time.Millisecond {
		t.Errorf("too late: %v", took)
	}

	// A command is a process like any other.
	var key auth.NewAPIKey
	administer(t, s, func(d *auth.Directory) (err error) {
		key, err = d.CreateKey(t.Context(), nextOrg, auth.KeyRequest{Name: "by command"})
		return err
	})
	for _, base := range []string{base, other} {
		if got := judge(t, base, key.Key); got != http.StatusBadRequest {
			t.Errorf("a key made by a command: %d", got)
		}
	}
	administer(t, s, func(d *auth.Directory) error {
		_, err := d.RevokeKey(t.Context(), nextOrg, key.ID, false)
		return err
	})
	for _, base := range []string{base, other} {
		eventually(t, "a key revoked by a command is refused", func() bool { return judge(t, base, key.Key) == http.StatusUnauthorized })
	}
}

// Whoever reaches the Redis port can shout, and what follows is a look now and then.
func TestAFloodOfAnnouncementsIsAFewLooks(t *testing.T) {
	s := storeSettings(t)
	organization7(t, s)
	base, stop := startServe(t, s, &logOf{})
	defer stop()
	eventually(t, "it listens", func() bool { return metric(t, base, "leadevents_notify_connected") == 1 })
	looks := func() float64 { return metric(t, base, "leadevents_auth_refreshes_total") }
	client := redis.NewClient(&redis.Options{Addr: s.Redis.Addr, Password: s.Redis.Password.Reveal()})
	defer func() { _ = client.Close() }()
	before, began := looks(), time.Now()
	for range 20 {
		pipe := client.Pipeline()
		for range 1000 {
			pipe.Publish(t.Context(), s.Redis.KeyPrefix+":credentials", "nonsense")
		}
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all are heard", func() bool { return metric(t, base, "leadevents_notify_heard_total") >= 20_000 })
	// One each 50 ms for the hints, one each 500 ms for the polls, and what was under
	// way at both ends.
	after, most := looks(), time.Since(began).Seconds()*(20+2)+3
	t.Logf("%.0f looks in %s", after-before, time.Since(began).Round(time.Millisecond))
	if after-before > most || after == before {
		t.Errorf("%.0f looks, at most %.0f were expected", after-before, most)
	}
}

// Redis goes and comes back: without it polling keeps the promise (that is
// TestAKeyMadeOrRevokedElsewhereCountsWithinTwoSecondsWithoutRedis too), with it
// announcements are heard again.
func TestAnnouncementsAreHeardAgainWhenRedisIsBack(t *testing.T) {
	own := storetest.OwnRedis(t)
	s := storeSettings(t)
	s.Redis.Addr, s.Redis.Password = own.Store().Addr, auth.NewSecret(own.Store().Password)
	organization7(t, s)
	log := &logOf{}
	base, stop := startServe(t, s, log)
	defer stop()
	listens := func(want float64) func() bool {
		return func() bool { return metric(t, base, "leadevents_notify_connected") == want }
	}
	eventually(t, "it listens", listens(1))
	for range 2 {
		own.Halt()
		eventually(t, "the loss is noticed", listens(0))
		changes(t, s, base)
		own.Start()
		eventually(t, "it listens again", listens(1))
	}
	heard := metric(t, base, "leadevents_notify_heard_total")
	changes(t, s, base)
	if now := metric(t, base, "leadevents_notify_heard_total"); now < heard+2 {
		t.Errorf("two changes, %v announcements were heard", now-heard)
	}
	if strings.Contains(log.String(), s.Redis.Password.Reveal()) {
		t.Error("the log tells Redis' password")
	}
}

func TestCheckOfARedisUserWithoutTheChannel(t *testing.T) {
	own := storetest.OwnRedis(t)
	s := storeSettings(t)
	s.Redis.Addr, s.Redis.Password = own.Store().Addr, auth.NewSecret(own.Store().Password)
	client := redis.NewClient(&redis.Options{Addr: s.Redis.Addr, Password: s.Redis.Password.Reveal()})
	defer func() { _ = client.Close() }()
	if err := client.Do(t.Context(), "ACL", "SETUSER", "narrow", "on", ">pass", "~*", "resetchannels", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	s.Redis.User, s.Redis.Password = "narrow", auth.NewSecret("pass")
	f, ok := find(checked(t, s), "redis", "cannot be announced")
	if !ok || f.Level != Warning || !strings.Contains(f.Remedy, "ACL SETUSER") {
		t.Errorf("%+v", f)
	}
}
