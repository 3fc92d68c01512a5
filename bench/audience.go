package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/internal/loadgen"
)

type audienceBench struct {
	binary       string
	rounds       int
	leads, large uint64
}

func newAudience(wrap wrapper) *cobra.Command {
	var b audienceBench
	cmd := &cobra.Command{
		Use:   "audience",
		Short: "uploads of audiences: time of a million rows in each format, memory of ten million",
		Args:  cobra.NoArgs,
		RunE:  wrap(func(ctx context.Context, r *report) error { return b.run(ctx, r) }),
	}
	cmd.Flags().StringVar(&b.binary, "binary", "bin/leadevents", "the server's `file`")
	cmd.Flags().IntVar(&b.rounds, "rounds", 7, "how often each is measured")
	cmd.Flags().Uint64Var(&b.leads, "leads", 1_000_000, "rows of an upload")
	cmd.Flags().Uint64Var(&b.large, "large", 10_000_000, "rows of the large uploads")
	return cmd
}

// csvOf gives the rows of an audience as they are read, so that ten million take
// no memory.
func csvOf(g *loadgen.Generator, first, leads uint64) io.Reader {
	return csvOfEvery(g, first, first+leads, 1)
}

// csvOfEvery gives a row for every step-th lead.
func csvOfEvery(g *loadgen.Generator, first, end, step uint64) io.Reader {
	reader, writer := io.Pipe()
	go func() {
		block := []byte("phoneE164,externalId\n")
		for i := first; i < end; i += step {
			block = g.Phone(i).AppendTo(block)
			block = append(strconv.AppendUint(append(block, ",crm-"...), i, 10), '\n')
			if len(block) > 60<<10 {
				if _, err := writer.Write(block); err != nil {
					return
				}
				block = block[:0]
			}
		}
		_, err := writer.Write(block)
		_ = writer.CloseWithError(err)
	}()
	return reader
}

// uploadCounts is what an upload came to.
type uploadCounts struct{ Received, Stored, Duplicates, Rejected uint64 }

func (s *server) upload(ctx context.Context, method, id, mediaType, encoding string, body io.Reader) (u uploadCounts, err error) {
	header := http.Header{"Content-Type": {mediaType}}
	if encoding != "" {
		header.Set("Content-Encoding", encoding)
	}
	err = s.do(ctx, method, "/api/v1/audiences/"+id+"/leads", header, body, func(r io.Reader) error { return json.NewDecoder(r).Decode(&u) })
	return u, err
}

func (b *audienceBench) run(ctx context.Context, r *report) (err error) {
	g, err := loadgen.New(loadgen.Config{Seed: 1, Org: 1, Leads: 2 * b.large, Times: loadgen.Live(leadevents.MaxOccurredAt)})
	if err != nil {
		return err
	}
	s, err := startServer(ctx, b.binary, "log.requests=false")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.note(ctx, r); err != nil {
		return err
	}
	// First: what the others leave in memory would hide it.
	if err := b.memory(ctx, r, s, g); err != nil {
		return err
	}
	return b.small(ctx, r, s, g)
}

// small measures one upload of each kind.
func (b *audienceBench) small(ctx context.Context, r *report, s *server, g *loadgen.Generator) error {
	csv, err := io.ReadAll(csvOf(g, 0, b.leads))
	if err != nil {
		return err
	}
	var ndjson bytes.Buffer
	for line := range bytes.Lines(csv[bytes.IndexByte(csv, '\n')+1:]) {
		phone, id, _ := strings.Cut(strings.TrimSpace(string(line)), ",")
		fmt.Fprintf(&ndjson, `{"phoneE164":"%s","externalId":"%s"}`+"\n", phone, id)
	}
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		return err
	}
	packed := encoder.EncodeAll(csv, nil)
	kind := func(name, id, method, mediaType, encoding string, body []byte) contestant {
		return contestant{name, func(round int) (trial, error) {
			id := fmt.Sprintf("%s-%d", id, round)
			if method == http.MethodPost { // onto what is there
				if _, err := s.upload(ctx, http.MethodPut, id, csvType, "", bytes.NewReader(csv)); err != nil {
					return trial{}, err
				}
			}
			var u uploadCounts
			return trial{
				run: func(ctx context.Context) (err error) {
					u, err = s.upload(ctx, method, id, mediaType, encoding, bytes.NewReader(body))
					return err
				},
				check: func() error {
					if u.Received != b.leads || u.Rejected != 0 || (method == http.MethodPost) != (u.Stored == 0) {
						return fmt.Errorf("the upload came to %+v", u)
					}
					return nil
				},
			}, nil
		}}
	}
	contestants := []contestant{
		kind("CSV", "csv", http.MethodPut, csvType, "", csv),
		kind("CSV, zstd", "zstd", http.MethodPut, csvType, "zstd", packed),
		kind("NDJSON", "ndjson", http.MethodPut, "application/x-ndjson", "", ndjson.Bytes()),
		kind("CSV, added to itself", "add", http.MethodPost, csvType, "", csv),
	}
	samples, err := compete(ctx, b.rounds, contestants, nil)
	if err != nil {
		return err
	}
	r.linef("\nAn upload of %d rows of 24 bytes as CSV, %d rounds, until it is answered:", b.leads, b.rounds)
	var rows [][]string
	for _, c := range contestants {
		took := samples[c.name]
		rows = append(rows, []string{c.name, took.String(), fmt.Sprintf("%.0f", float64(b.leads)/took.median().Seconds())})
	}
	r.table([]string{"", "ms", "rows/s"}, rows)
	worst := samples["CSV"].quantile(1)
	r.linef("Goal: a million rows of CSV in at most 5 s, %s (the slowest took %s ms).", verdict(worst <= 5*time.Second), ms(worst))
	return nil
}

const csvType = "text/csv"

// memory measures what the server's process has held at most.
func (b *audienceBench) memory(ctx context.Context, r *report, s *server, g *loadgen.Generator) error {
	before, err := s.peakMemory()
	if err != nil {
		return err
	}
	var rows [][]string
	for _, step := range []struct {
		name, method string
		first, leads uint64
	}{
		{"replace", http.MethodPut, 0, b.leads},
		{"replace", http.MethodPut, 0, b.large},
		{"add, half of them there", http.MethodPost, b.large / 2, b.large},
		{"add", http.MethodPost, 3 * b.large / 2, 1},
	} {
		began := time.Now()
		u, err := s.upload(ctx, step.method, "large", csvType, "", csvOf(g, step.first, step.leads))
		if err == nil && u.Received != step.leads {
			err = fmt.Errorf("the upload came to %+v", u)
		}
		if err != nil {
			return err
		}
		took := time.Since(began)
		peak, err := s.peakMemory()
		if err != nil {
			return err
		}
		rows = append(rows, []string{fmt.Sprintf("%s, %d rows", step.name, step.leads), fmt.Sprintf("%.1f", took.Seconds()),
			fmt.Sprintf("%.0f", float64(step.leads)/took.Seconds()), fmt.Sprint(u.Stored), fmt.Sprintf("%.0f", peak)})
	}
	r.linef("\nUploads of CSV made as it is sent, one after the other; the server's process had held %.0f MiB before them:", before)
	r.table([]string{"", "s", "rows/s", "stored", "peak MiB"}, rows)
	return nil
}
