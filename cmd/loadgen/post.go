package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"leadevents/internal/loadgen"
)

const ingestPath = "/api/v1/webhooks/lead-events"

// post is how to send the load, as flags.
type post struct {
	load
	url, key, hmacSecret string
	dev                  string
	concurrency          int
	retries              int
	compression          string
	idempotent           bool
	timeout              time.Duration
	verify               bool
}

func newPost() *cobra.Command {
	var p post
	cmd := &cobra.Command{
		Use:   "post",
		Short: "send events to a server, add up its answers, and compare them with what is stored",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.run(cmd.Context(), cmd.OutOrStdout(), cmd.Flags().Changed("org"))
		},
	}
	p.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&p.url, "url", "", "the server's `address`, like http://127.0.0.1:8080")
	f.StringVar(&p.key, "key", "", "API `key`")
	f.StringVar(&p.hmacSecret, "hmac-secret", "", "sign with this `secret` instead of sending a key")
	f.StringVar(&p.dev, "dev", "", "take --url, --key and --org from dev.json in this `folder` of `leadevents dev`")
	f.IntVar(&p.concurrency, "concurrency", 4, "calls under way at once")
	f.IntVar(&p.retries, "retries", 10, "how often to send a call again after 429, 503 or no answer")
	f.StringVar(&p.compression, "compression", "none", "of the bodies: none, gzip or zstd")
	f.BoolVar(&p.idempotent, "idempotency-key", false, "send an Idempotency-Key, so that a call sent again answers its first counts")
	f.DurationVar(&p.timeout, "timeout", time.Minute, "how long to wait for one answer")
	f.BoolVar(&p.verify, "verify", false, "compare with ClickHouse, whose address is in dev.json: nobody else may write meanwhile")
	return cmd
}

// counts are the numbers of an answer.
type counts struct {
	Received, Inserted, Duplicates, Rejected uint64
}

// tally is the sum of all answers.
type tally struct {
	mu sync.Mutex
	counts
	calls, resent, failed uint64
	latencies             []time.Duration // of answered calls, without their retries
	problem               error           // the first call that got no 200
}

func (p *post) run(ctx context.Context, out io.Writer, orgGiven bool) error {
	var dev *devFile
	if p.dev != "" {
		d, err := readDevFile(filepath.Join(p.dev, "dev.json"))
		if err != nil {
			return err
		}
		dev = d
		p.url, p.key = or(p.url, d.URL), or(p.key, d.APIKey)
		if !orgGiven {
			p.org = d.OrganizationID
		}
	}
	switch {
	case p.url == "":
		return errors.New("--url is missing (or --dev)")
	case p.key == "" && p.hmacSecret == "":
		return errors.New("--key is missing (or --hmac-secret, or --dev)")
	case p.verify && dev == nil:
		return errors.New("--verify needs --dev, to know where ClickHouse is")
	case p.concurrency < 1:
		return fmt.Errorf("--concurrency %d is not above 0", p.concurrency)
	case p.batch > 50_000:
		return fmt.Errorf("--batch %d is above 50,000, the most events of one call", p.batch)
	case compressions[p.compression] == "" && p.compression != "none":
		return fmt.Errorf("--compression %q is none of none, gzip and zstd", p.compression)
	}
	g, err := p.generator()
	if err != nil {
		return err
	}
	var before uint64
	if p.verify {
		if before, err = dev.storedKeys(ctx, p.org); err != nil {
			return err
		}
	}
	began := time.Now()
	t := p.send(ctx, g)
	t.report(out, time.Since(began))
	if t.problem != nil {
		err = fmt.Errorf("%d calls were not answered with 200; the first: %w", t.failed, t.problem)
	}
	if p.verify && ctx.Err() == nil {
		after, readErr := dev.storedKeys(ctx, p.org)
		if readErr != nil {
			return errors.Join(err, readErr)
		}
		err = errors.Join(err, t.compare(out, after-before, p.idempotent))
	}
	return errors.Join(err, ctx.Err())
}

// send sends every call, p.concurrency at once.
func (p *post) send(ctx context.Context, g *loadgen.Generator) *tally {
	client := &http.Client{Timeout: p.timeout, Transport: &http.Transport{
		MaxIdleConnsPerHost: p.concurrency, MaxConnsPerHost: p.concurrency, DisableCompression: true,
	}}
	defer client.CloseIdleConnections()
	t := &tally{}
	var next atomic.Uint64
	next.Store(p.first / p.batch)
	end := g.Requests(p.first + p.events)
	// One run of the command, one set of keys: a later run is another call.
	run := fmt.Sprintf("loadgen-%d-%d", p.seed, time.Now().UnixNano())
	var workers sync.WaitGroup
	for range p.concurrency {
		workers.Go(func() {
			var body []byte
			for ctx.Err() == nil {
				batch := next.Add(1) - 1
				if batch >= end {
					return
				}
				body = g.AppendRequest(body[:0], batch, p.first+p.events)
				key := ""
				if p.idempotent {
					key = fmt.Sprintf("%s-%d", run, batch)
				}
				p.call(ctx, client, t, body, key)
			}
		})
	}
	workers.Wait()
	return t
}

// call sends one body until it is answered, and adds the answer to t.
func (p *post) call(ctx context.Context, client *http.Client, t *tally, body []byte, idempotencyKey string) {
	var packed bytes.Buffer
	w, err := compressed(&packed, p.compression)
	if err == nil {
		_, err = w.Write(body)
		err = errors.Join(err, w.Close())
	}
	for try := 0; err == nil; try++ {
		began := time.Now()
		var c counts
		var again time.Duration
		c, again, err = p.once(ctx, client, packed.Bytes(), idempotencyKey)
		if err == nil {
			t.answered(c, time.Since(began))
			return
		}
		if again == 0 || try == p.retries {
			break
		}
		err = nil
		t.sentAgain()
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(again):
		}
	}
	t.gaveUp(err)
}

// once sends a body once. again is how long to wait before sending it again,
// zero if that would not help.
func (p *post) once(ctx context.Context, client *http.Client, body []byte, idempotencyKey string) (c counts, again time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(p.url, "/")+ingestPath, bytes.NewReader(body))
	if err != nil {
		return c, 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	if p.compression != "none" {
		request.Header.Set("Content-Encoding", p.compression)
	}
	if idempotencyKey != "" {
		request.Header.Set("Idempotency-Key", idempotencyKey)
	}
	if p.hmacSecret != "" {
		mac := hmac.New(sha256.New, []byte(p.hmacSecret))
		mac.Write(body)
		request.Header.Set("X-Setter-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	} else {
		request.Header.Set("Authorization", "Bearer "+p.key)
	}
	response, err := client.Do(request)
	if err != nil {
		return c, 200 * time.Millisecond, err
	}
	defer response.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return c, 200 * time.Millisecond, fmt.Errorf("read the answer: %w", err)
	case response.StatusCode == http.StatusServiceUnavailable || response.StatusCode == http.StatusTooManyRequests:
		wait, _ := time.ParseDuration(or(response.Header.Get("Retry-After"), "1") + "s")
		return c, max(wait, 100*time.Millisecond), fmt.Errorf("status %d: %.300s", response.StatusCode, text)
	case response.StatusCode != http.StatusOK:
		return c, 0, fmt.Errorf("status %d: %.300s", response.StatusCode, text)
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, 0, fmt.Errorf("the answer %.300q is not JSON: %w", text, err)
	}
	if c.Received != c.Inserted+c.Duplicates+c.Rejected {
		return c, 0, fmt.Errorf("the counts of the answer do not sum: %.300s", text)
	}
	return c, 0, nil
}

func (t *tally) answered(c counts, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls++
	t.Received += c.Received
	t.Inserted += c.Inserted
	t.Duplicates += c.Duplicates
	t.Rejected += c.Rejected
	t.latencies = append(t.latencies, took)
}

func (t *tally) sentAgain() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.resent++
}

func (t *tally) gaveUp(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed++
	if t.problem == nil {
		t.problem = err
	}
}

// report prints the sums.
func (t *tally) report(out io.Writer, took time.Duration) {
	slices.Sort(t.latencies)
	at := func(share float64) time.Duration {
		if len(t.latencies) == 0 {
			return 0
		}
		return t.latencies[int(share*float64(len(t.latencies)-1))].Round(10 * time.Microsecond)
	}
	fmt.Fprintf(out, "received %d, inserted %d, duplicates %d, rejected %d\n", t.Received, t.Inserted, t.Duplicates, t.Rejected)
	fmt.Fprintf(out, "%d calls answered, %d sent again, %d given up, in %s: %.0f events a second\n",
		t.calls, t.resent, t.failed, took.Round(time.Millisecond), float64(t.Received)/took.Seconds())
	fmt.Fprintf(out, "latency: median %s, p99 %s, longest %s\n", at(0.5), at(0.99), at(1))
}

func or(s, fallback string) string {
	if s != "" {
		return s
	}
	return fallback
}
