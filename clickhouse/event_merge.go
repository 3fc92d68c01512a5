package clickhouse

import (
	"context"

	"leadevents"
)

// eventSource is events in their order, newest first, on their way from the server.
type eventSource struct {
	ctx    context.Context
	pieces chan []leadevents.StoredEvent // closed at the end
	free   chan []leadevents.StoredEvent // pieces to be filled again

	piece []leadevents.StoredEvent // the one that is being merged
	next  int                      // the first of it that is not yet
}

// eventPieces is how many pieces of a source wait while one is merged and one is filled:
// the server and who encodes work side by side.
const eventPieces = 1

func newEventSource(ctx context.Context) *eventSource {
	return &eventSource{ctx: ctx, pieces: make(chan []leadevents.StoredEvent, eventPieces), free: make(chan []leadevents.StoredEvent, eventPieces+1)}
}

// give hands rows on.
func (s *eventSource) give(rows *eventRows, eventType string) error {
	if rows.len() == 0 {
		return nil
	}
	var piece []leadevents.StoredEvent
	select {
	case piece = <-s.free:
	default:
	}
	select {
	case s.pieces <- rows.appendTo(piece[:0], eventType):
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// advance makes sure that there is a next event; false at the end.
func (s *eventSource) advance() bool {
	if s.next < len(s.piece) {
		return true
	}
	select {
	case s.free <- s.piece:
	default: // enough are there
	}
	s.piece, s.next = <-s.pieces, 0
	return s.piece != nil
}

func (s *eventSource) head() *leadevents.StoredEvent { return &s.piece[s.next] }

// mergeEvents hands on the events of all sources in one order, until all of them have
// ended or f fails.
func mergeEvents(sources []*eventSource, f func([]leadevents.StoredEvent) error) error {
	alive := sources[:0:0]
	for _, s := range sources {
		if s.advance() {
			alive = append(alive, s)
		}
	}
	out := make([]leadevents.StoredEvent, 0, eventPieceRows)
	for len(alive) > 0 {
		newest := 0
		for i := 1; i < len(alive); i++ { // 17 at most: a heap would be no faster
			if alive[i].head().Position().Compare(alive[newest].head().Position()) > 0 {
				newest = i
			}
		}
		s := alive[newest]
		out = append(out, *s.head())
		s.next++
		// A piece is filled again when it is at its end, so what is out of it goes first.
		if len(out) == cap(out) || s.next == len(s.piece) {
			if err := f(out); err != nil {
				return err
			}
			out = out[:0]
		}
		if !s.advance() {
			alive = append(alive[:newest], alive[newest+1:]...)
		}
	}
	return nil
}
