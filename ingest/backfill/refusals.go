package backfill

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"leadevents"
)

// refusal is a row that the server rejects. Its phone is not read: the row is here.
type refusal struct {
	Index  int
	Reason string
}

// rejects are all rejects of a batch. The answer has the first 50; the rest is asked for, and where
// the key may not read (or there is none, when calls are signed), parts of the batch are
// sent as dry runs, halved until each shows all of its own.
func (c *caller) rejects(stop context.Context, number int, b *batch, a *answer) ([]refusal, error) {
	all, err := c.findRejects(stop, number, b, a)
	for _, r := range all {
		if r.Index < 0 || r.Index >= len(b.rows) {
			return nil, fmt.Errorf("the server rejects row %d of %s, which has %d", r.Index, b.key, len(b.rows))
		}
	}
	return all, err
}

func (c *caller) findRejects(stop context.Context, number int, b *batch, a *answer) ([]refusal, error) {
	if a.Rejected == uint64(len(a.Rejects)) {
		return a.Rejects, nil
	}
	if a.BatchID != "" {
		all, err := c.listRejects(stop, number, a)
		switch leadevents.KindOf(err) {
		case leadevents.Unauthenticated, leadevents.Forbidden, leadevents.NotFound:
		default:
			return all, err
		}
	}
	return c.halve(stop, number, b, 0, len(b.rows), int(a.Rejected))
}

func (c *caller) listRejects(stop context.Context, number int, a *answer) (all []refusal, err error) {
	err = c.insist(stop, number, func(ctx context.Context, server Server) error {
		response, err := server.Send(ctx, http.MethodGet, "/api/v1/batches/"+url.PathEscape(a.BatchID)+"/rejects", http.Header{}, nil)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		all = make([]refusal, 0, a.Rejected)
		reasons := map[string]string{} // there are few, and 50,000 copies are 2 MB
		lines := bufio.NewScanner(response.Body)
		for lines.Scan() {
			if bytes.HasPrefix(lines.Bytes(), []byte(`{"end":`)) {
				break
			}
			var r refusal
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				return fmt.Errorf("read a reject: %w", err)
			}
			if known, ok := reasons[r.Reason]; ok {
				r.Reason = known
			} else {
				reasons[r.Reason] = r.Reason
			}
			all = append(all, r)
		}
		if uint64(len(all)) != a.Rejected {
			return fmt.Errorf("the list of rejects of batch %s has %d rows instead of %d (%v)", a.BatchID, len(all), a.Rejected, lines.Err())
		}
		return nil
	})
	return all, err
}

// halve finds the rejects among the rows from..to, of which there are n.
func (c *caller) halve(stop context.Context, number int, b *batch, from, to, n int) ([]refusal, error) {
	if n == 0 {
		return nil, nil
	}
	middle := (from + to) / 2
	var all []refusal
	for _, half := range [][2]int{{from, middle}, {middle, to}} {
		if half[0] == half[1] {
			continue
		}
		a, err := c.try(stop, number, b.part(half[0], half[1]))
		if err != nil {
			return nil, err
		}
		found := a.Rejects
		for i := range found {
			found[i].Index += half[0]
		}
		if int(a.Rejected) > len(found) {
			if found, err = c.halve(stop, number, b, half[0], half[1], int(a.Rejected)); err != nil {
				return nil, err
			}
		}
		all = append(all, found...)
	}
	if len(all) != n {
		return nil, fmt.Errorf("of batch %s %d rows were rejected, but now %d are: the rows are counted, and which they were cannot be told without a key that has the scope query", b.key, n, len(all))
	}
	return all, nil
}
