package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"leadevents/internal/loadgen"
	"leadevents/query/audience"
)

// rebuildPatience is until the ledger knows the events that were not ingested
// through it.
const rebuildPatience = 15 * time.Minute

// serve runs the server on a database that is full.
func (b *campaignBench) serve(ctx context.Context, d *campaignData) (*server, error) {
	e, redis := b.stand.engine.Endpoint(), b.stand.redis.Endpoint()
	return serving{b.binary, b.stand, e.Native, redis.Addr, d.database, campaignOrg, rebuildPatience}.start(ctx, "log.requests=false")
}

// do sends a request and hands its answer's body to read; a status that is no
// success is an error.
func (s *server) do(ctx context.Context, method, path string, header http.Header, body io.Reader, read func(io.Reader) error) error {
	request, err := http.NewRequestWithContext(ctx, method, s.URL+path, body)
	if err != nil {
		return err
	}
	maps.Copy(request.Header, header)
	request.Header.Set("Authorization", "Bearer "+s.APIKey)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 300))
		return fmt.Errorf("%s %s: the server answered %d: %s", method, path, response.StatusCode, text)
	}
	return read(response.Body)
}

// doJSON is do with JSON both ways.
func (s *server) doJSON(ctx context.Context, method, path, body string, answer any) error {
	var (
		in     io.Reader
		header http.Header
	)
	if body != "" {
		in, header = strings.NewReader(body), http.Header{"Content-Type": {"application/json"}}
	}
	return s.do(ctx, method, path, header, in, func(r io.Reader) error { return json.NewDecoder(r).Decode(answer) })
}

// sendOf is the JSON of both filters and a stored audience.
func sendOf(audienceID string) string {
	return fmt.Sprintf(`{"audience":{"audienceId":%q},"eventFilters":%s}`, audienceID, audience.AppendFilters(nil, twoFilters()))
}

// materialize defines a send, waits for its result and says how many are kept.
func (s *server) materialize(ctx context.Context, send, audienceID string) (kept uint64, err error) {
	var drop any
	if err := s.doJSON(ctx, http.MethodPut, "/api/v1/sends/"+send, sendOf(audienceID), &drop); err != nil {
		return 0, err
	}
	var result struct {
		Status audience.SendState
		Error  string
		Kept   uint64
	}
	if err := s.doJSON(ctx, http.MethodPost, "/api/v1/sends/"+send+"/materialize?wait=true", "", &result); err != nil {
		return 0, err
	}
	if result.Status != audience.SendMaterialized {
		return 0, fmt.Errorf("send %s is %s: %s", send, result.Status, result.Error)
	}
	return result.Kept, nil
}

// readLeads reads all that a send kept, and holds its end to what it says.
func (s *server) readLeads(ctx context.Context, send string) (leads uint64, err error) {
	err = s.do(ctx, http.MethodGet, "/api/v1/sends/"+send+"/leads?format=ndjson", nil, nil, func(body io.Reader) error {
		lines := bufio.NewReaderSize(body, 1<<20)
		var last []byte
		for {
			line, err := lines.ReadSlice('\n')
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			leads++
			last = append(last[:0], line...)
		}
		leads-- // the end
		if want := fmt.Sprintf(`{"end":true,"leads":%d}`, leads); string(bytes.TrimSpace(last)) != want {
			return fmt.Errorf("the leads of send %s end with %s, want %s", send, last, want)
		}
		return nil
	})
	return leads, err
}

// through measures what a client of the server sees: previews, and sends from
// their materialization to the last lead read.
func (b *campaignBench) through(ctx context.Context, r *report, s *server, d *campaignData) error {
	g, err := b.generator(loadgen.Live(b.now))
	if err != nil {
		return err
	}
	before, err := s.peakMemory()
	if err != nil {
		return err
	}
	audiences := []struct {
		id           string
		leads        uint64
		rounds       int
		preview, aim time.Duration
		send         time.Duration
		sendAim      time.Duration
	}{
		{"some", b.audience, b.rounds, goalPreview, aimPreview, goalMaterialize, aimMaterialize},
		{"everyone", b.leads, min(b.rounds, 3), goalHugePreview, 0, goalHugeSend, 0},
	}
	var rows [][]string
	var goals []func()
	for _, a := range audiences {
		u, err := s.upload(ctx, http.MethodPut, a.id, csvType, "", csvOfEvery(g, 0, b.leads, max(b.leads/a.leads, 1)))
		if err == nil && u.Stored+u.Duplicates != a.leads {
			err = fmt.Errorf("the audience %s came to %+v", a.id, u)
		}
		if err != nil {
			return err
		}
		if err := waitForMerges(ctx, d.conn); err != nil {
			return err
		}
		var previews, materialized, read, both sample
		var kept uint64
		for round := range a.rounds + 1 { // the first warms up
			var counted struct{ Kept uint64 }
			began := time.Now()
			if err := s.doJSON(ctx, http.MethodPost, "/api/v1/filters/preview", sendOf(a.id), &counted); err != nil {
				return err
			}
			preview := time.Since(began)
			send := a.id + "-" + strconv.Itoa(round)
			began = time.Now()
			if kept, err = s.materialize(ctx, send, a.id); err != nil {
				return err
			}
			middle := time.Now()
			leads, err := s.readLeads(ctx, send)
			ended := time.Now()
			if err == nil && (leads != kept || kept == 0) {
				err = fmt.Errorf("send %s kept %d, read are %d", send, kept, leads)
			}
			if err != nil {
				return err
			}
			if round > 0 {
				previews, materialized, read, both = append(previews, preview), append(materialized, middle.Sub(began)), append(read, ended.Sub(middle)), append(both, ended.Sub(began))
			}
			if err := waitForMerges(ctx, d.conn); err != nil {
				return err
			}
		}
		peak, err := s.peakMemory()
		if err != nil {
			return err
		}
		rows = append(rows, []string{fmt.Sprint(a.leads), previews.String(), materialized.String(), read.String(), both.String(), fmt.Sprint(kept), fmt.Sprintf("%.0f", peak)})
		goals = append(goals, func() {
			r.goal(fmt.Sprintf("the preview of %d leads", a.leads), previews.median(), a.preview, a.aim)
			r.goal(fmt.Sprintf("materialization and reading of %d leads", a.leads), both.median(), a.send, a.sendAim)
		})
	}
	r.linef("\nThrough HTTP, both filters, %d events: POST …/filters/preview; PUT …/sends/{sendId} and POST …/materialize?wait=true, then GET …/leads?format=ndjson to its end. The server's process had held %.0f MiB before; its peak is that so far, the audience's upload with it.", d.events, before)
	r.table([]string{"audience", "preview ms", "materialize ms", "read ms", "both ms", "kept", "server's peak MiB"}, rows)
	for _, goal := range goals {
		goal()
	}
	peak, err := s.peakMemory()
	if err != nil {
		return err
	}
	r.atMost("MiB that the server's process holds at most", peak, goalServerMemory)
	return nil
}
