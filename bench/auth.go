package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/audit"
	"leadevents/auth"
)

// The goals of issue "Organizations, keys and settings".
const (
	goalKey  = 20 * time.Microsecond
	goalHMAC = 10 * time.Millisecond
)

type authBench struct {
	keys, rounds int
}

func newAuth(wrap wrapper) *cobra.Command {
	var b authBench
	cmd := &cobra.Command{
		Use:   "auth",
		Short: "what it costs to know who asks: keys among many, signatures over large bodies",
		Args:  cobra.NoArgs,
		RunE:  wrap(func(ctx context.Context, r *report) error { return b.run(ctx, r) }),
	}
	cmd.Flags().IntVar(&b.keys, "keys", 10_000, "API keys in memory, of 100 organizations")
	cmd.Flags().IntVar(&b.rounds, "rounds", 20, "how often each is measured")
	return cmd
}

// shelf is an auth.Store that has what it is given: what is measured is the check,
// which asks no store.
type shelf struct {
	mu      sync.Mutex
	records auth.Records
	writes  uint64
}

func (s *shelf) Stamp(context.Context) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes, nil
}

func (s *shelf) LoadAll(context.Context) (auth.Records, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.records, nil
}

func (s *shelf) Load(ctx context.Context, org leadevents.OrgID) (r auth.Records, err error) {
	all, err := s.LoadAll(ctx)
	for _, o := range all.Organizations {
		if o.ID == org {
			r.Organizations = append(r.Organizations, o)
		}
	}
	for _, k := range all.APIKeys {
		if k.Org == org {
			r.APIKeys = append(r.APIKeys, k)
		}
	}
	for _, k := range all.SigningKeys {
		if k.Org == org {
			r.SigningKeys = append(r.SigningKeys, k)
		}
	}
	return r, err
}

func (s *shelf) write(change func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	change()
	return nil
}

func (s *shelf) PutOrganization(_ context.Context, o auth.Organization) error {
	return s.write(func() {
		for i, known := range s.records.Organizations {
			if known.ID == o.ID {
				s.records.Organizations[i] = o
				return
			}
		}
		s.records.Organizations = append(s.records.Organizations, o)
	})
}

func (s *shelf) PutAPIKey(_ context.Context, k auth.APIKey) error {
	return s.write(func() { s.records.APIKeys = append(s.records.APIKeys, k) })
}

func (s *shelf) PutSigningKey(_ context.Context, k auth.SigningKey) error {
	return s.write(func() { s.records.SigningKeys = append(s.records.SigningKeys, k) })
}

func (s *shelf) AppendAudit(context.Context, leadevents.OrgID, audit.Entry) error { return nil }

func (s *shelf) PutLimits(_ context.Context, limits []auth.OrganizationLimit) error {
	return s.write(func() { s.records.Limits = append(s.records.Limits, limits...) })
}

func (s *shelf) DataKeys(context.Context) ([]auth.DataKey, error)           { return nil, nil }
func (s *shelf) PutDataKey(context.Context, auth.DataKey) error             { return nil }
func (s *shelf) AddUses(context.Context, []auth.Use) error                  { return nil }
func (s *shelf) Uses(context.Context, leadevents.OrgID) ([]auth.Use, error) { return nil, nil }

func (b *authBench) run(ctx context.Context, r *report) (err error) {
	master, err := auth.ParseMasterKey(auth.NewMasterKey())
	if err != nil {
		return err
	}
	store := &shelf{}
	d, err := auth.New(auth.Config{MasterKeys: auth.NewKeyring(master)}, store, time.Now, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return err
	}
	headers, err := b.fill(ctx, d)
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- d.Run(running) }()
	defer func() { stop(); err = errors.Join(err, <-ended) }()

	if err := b.checkKeys(ctx, r, d, store, headers); err != nil {
		return err
	}
	return b.checkSignatures(ctx, r, d)
}

const benchOrgs = 100

// fill makes the keys; headers are the Authorization of each.
func (b *authBench) fill(ctx context.Context, d *auth.Directory) (headers []string, err error) {
	for org := leadevents.OrgID(1); org <= benchOrgs; org++ {
		o, err := d.CreateOrganization(ctx, "bench", org)
		if err != nil {
			return nil, err
		}
		headers = append(headers, "Bearer "+o.FirstKey.Key.Reveal())
	}
	for i := benchOrgs; i < b.keys; i++ {
		k, err := d.CreateKey(ctx, leadevents.OrgID(i%benchOrgs+1), auth.KeyRequest{Name: "bench"})
		if err != nil {
			return nil, err
		}
		headers = append(headers, "Bearer "+k.Key.Reveal())
	}
	return headers, nil
}

// checkKeys asks for every key once a round, each with another one than before, so that
// no cache holds it: alone, on all cores, and while all of them are loaded anew.
func (b *authBench) checkKeys(ctx context.Context, r *report, d *auth.Directory, store *shelf, headers []string) error {
	ask := func(headers []string) error {
		for _, h := range headers {
			if _, err := d.Key(ctx, h, auth.Ingest); err != nil {
				return err
			}
		}
		return nil
	}
	cores := runtime.GOMAXPROCS(0)
	everywhere := func() error {
		var all sync.WaitGroup
		errs := make([]error, cores)
		for core := range cores {
			all.Go(func() { errs[core] = ask(headers) })
		}
		all.Wait()
		return errors.Join(errs...)
	}
	loading := func() error {
		_ = store.write(func() {}) // something has changed
		loaded := make(chan error, 1)
		go func() { loaded <- d.Refresh(ctx) }()
		return errors.Join(ask(headers), <-loaded)
	}
	alone := func() error { return ask(headers) }
	names := []string{"one after the other", fmt.Sprintf("on %d cores at once", cores), "while all are loaded anew"}
	var contestants []contestant
	for i, run := range []func() error{alone, everywhere, loading} {
		contestants = append(contestants, contestant{names[i], func(int) (trial, error) {
			return trial{run: func(context.Context) error { return run() }}, nil
		}})
	}
	samples, err := compete(ctx, b.rounds, contestants, nil)
	if err != nil {
		return err
	}
	var rows [][]string
	worst := time.Duration(0)
	for _, name := range names {
		per := func(q float64) time.Duration { return samples[name].quantile(q) / time.Duration(len(headers)) }
		worst = max(worst, per(0.5))
		rows = append(rows, []string{name, micros(per(0.25)), micros(per(0.5)), micros(per(0.75))})
	}
	r.linef("\nA request's API key among %d of %d organizations (no store is asked); %d rounds over all of them.", len(headers), benchOrgs, b.rounds)
	r.table([]string{"", "lower quartile, µs", "median, µs", "upper quartile, µs"}, rows)
	r.linef("Goal: a request's key within %s µs, %s: %s.", micros(goalKey), verdict(worst <= goalKey), micros(worst))
	return nil
}

func micros(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Nanoseconds())/1e3) }

// checkSignatures is the whole check of webhooks of 10 MB, by organizations with one and
// with all the signing keys that are allowed.
func (b *authBench) checkSignatures(ctx context.Context, r *report, d *auth.Directory) error {
	const one, many leadevents.OrgID = 1, 2
	body := make([]byte, auth.MaxWebhookBytes)
	for i := range body {
		body[i] = byte(i * 7)
	}
	signed, err := b.signers(ctx, d, one, 1, body)
	if err != nil {
		return err
	}
	ofMany, err := b.signers(ctx, d, many, auth.MaxActiveSigningKeys, body)
	if err != nil {
		return err
	}
	check := func(org leadevents.OrgID, w auth.Webhook, accepted bool) error {
		w.Body, w.Organization = body, func() (leadevents.OrgID, bool) { return org, true }
		if _, err := d.Webhook(ctx, w); (err == nil) != accepted {
			return fmt.Errorf("accepted: %t, %w", err == nil, err)
		}
		return nil
	}
	forged := auth.Webhook{Signature: auth.Sign(auth.NewSecret("les_nobody"), body)}
	oldest, newest := ofMany[0], ofMany[len(ofMany)-1]
	tries := []struct {
		name   string
		counts bool // for the goal
		// before is the request before, which is not timed.
		org           leadevents.OrgID
		before, timed auth.Webhook
		accepted      bool
	}{
		{"by the only key", true, one, signed[0].plain, signed[0].plain, true},
		{"by the only key, with a timestamp", true, one, signed[0].plain, signed[0].stamped, true},
		{"by the oldest of five keys, as the one before", true, many, oldest.plain, oldest.plain, true},
		{"by the oldest of five keys, the one before by the newest", false, many, newest.plain, oldest.plain, true},
		{"by none of five keys: all are tried, and the store is asked", false, many, newest.plain, forged, false},
	}
	var contestants []contestant
	for _, t := range tries {
		contestants = append(contestants, contestant{t.name, func(int) (trial, error) {
			return trial{run: func(context.Context) error { return check(t.org, t.timed, t.accepted) }}, check(t.org, t.before, true)
		}})
	}
	samples, err := compete(ctx, b.rounds, contestants, nil)
	if err != nil {
		return err
	}
	var rows [][]string
	worst := time.Duration(0)
	for _, t := range tries {
		rows = append(rows, []string{t.name, samples[t.name].String()})
		if t.counts {
			worst = max(worst, samples[t.name].median())
		}
	}
	r.linef("\nThe whole check of a webhook of 10 MB in hmac mode; %d rounds.", b.rounds)
	r.table([]string{"signed", "ms"}, rows)
	r.linef("Goal: the signature of 10 MB, once a change of keys is over, within %s ms, %s: %s. Each other key that is tried costs as much again; the contract allows %d.",
		ms(goalHMAC), verdict(worst <= goalHMAC), ms(worst), auth.MaxActiveSigningKeys)
	return nil
}

// signer is what one signing key makes of a body.
type signer struct{ plain, stamped auth.Webhook }

// signers puts an organization into hmac mode with n signing keys, oldest first.
func (b *authBench) signers(ctx context.Context, d *auth.Directory, org leadevents.OrgID, n int, body []byte) (all []signer, err error) {
	for range n {
		time.Sleep(2 * time.Millisecond) // keys of one millisecond have no order
		k, err := d.CreateSigningKey(ctx, org, "bench")
		if err != nil {
			return nil, err
		}
		s := signer{plain: auth.Webhook{Signature: auth.Sign(k.Secret, body)}}
		s.stamped.Timestamp, s.stamped.Signature = auth.SignAt(k.Secret, time.Now(), body)
		all = append(all, s)
	}
	_, err = d.SetAuthMode(ctx, org, auth.ModeHMAC)
	return all, err
}
