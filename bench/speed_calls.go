package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"leadevents"
	"leadevents/internal/loadgen"
)

// Which calls of the generator are whose. All are of one schedule of types, which
// repeats after 256 calls: the contestants of a round send events of one type, so
// that their metadata are alike.
const (
	liveCalls      = 0
	againCalls     = 1 << 20
	sustainedLoads = 1 << 21
	floorLoads     = 1 << 22
	// oldCalls is beyond all that are stored.
	oldCalls = 1 << 23
)

// calls measures calls of 50,000 events beside their floors and peers.
func (w *speedWorld) calls(ctx context.Context) error {
	return w.compete(ctx, w.rounds,
		entrant{speedNew, w.enterNew},
		entrant{speedAgain, w.enterAgain},
		entrant{speedOld, func(context.Context) (func(int) (trial, error), error) {
			return w.newCalls(w.server, w.old, oldCalls), nil
		}},
		entrant{speedOldDay, w.enterOldDay},
		entrant{speedFew, w.enterFew},
		entrant{floorRedis, w.enterFloor((*floor).sets)},
		entrant{floorInsert, w.enterFloor((*floor).insert)},
		entrant{speedBare, w.enterBare("speed_bare", preparedEvents)},
		entrant{speedBareSent, w.enterBare("speed_bare_sent", sentEvents)},
		entrant{speedPostgres, w.enterPostgres},
		entrant{speedNaive, w.enterNaive},
	)
}

// newCalls sends calls from first on, whose events are all new.
func (w *speedWorld) newCalls(s *server, g *loadgen.Generator, first uint64) func(int) (trial, error) {
	return func(round int) (trial, error) {
		batch := first + uint64(round)
		body := g.AppendRequest(nil, batch, (batch+1)*callRows)
		want, _, _ := g.Counts(batch*callRows, callRows)
		var a answer
		return trial{
			run:   func(context.Context) (err error) { a, err = s.post(body); return err },
			check: func() error { return a.allNew(want) },
		}, nil
	}
}

func (w *speedWorld) enterNew(context.Context) (func(int) (trial, error), error) {
	return w.newCalls(w.server, w.live, liveCalls), nil
}

// enterAgain sends each round's call once before the clock starts.
func (w *speedWorld) enterAgain(context.Context) (func(int) (trial, error), error) {
	return func(round int) (trial, error) {
		batch := uint64(againCalls + round)
		body := w.live.AppendRequest(nil, batch, (batch+1)*callRows)
		if _, err := w.server.post(body); err != nil {
			return trial{}, err
		}
		var a answer
		return trial{
			run: func(context.Context) (err error) { a, err = w.server.post(body); return err },
			check: func() error {
				if a.Duplicates != callRows {
					return fmt.Errorf("%d of %d were duplicates", a.Duplicates, callRows)
				}
				return nil
			},
		}, nil
	}, nil
}

// enterOldDay sends old events of one day, a year ago.
func (w *speedWorld) enterOldDay(context.Context) (func(int) (trial, error), error) {
	times := w.history()
	times.From = w.since.Add(-365 * 24 * time.Hour)
	times.To = times.From.Add(24 * time.Hour)
	g, err := w.generator(times)
	if err != nil {
		return nil, err
	}
	return w.newCalls(w.server, g, oldCalls), nil
}

// enterFew starts a second server, which has fewer rows stored, on the same stores.
func (w *speedWorld) enterFew(ctx context.Context) (func(int) (trial, error), error) {
	s, err := w.serve(ctx, smallDatabase, fewDatabase, "redis.key_prefix=few")
	if err != nil {
		return nil, err
	}
	w.onLeave(s.stop)
	return w.newCalls(s, w.live, liveCalls), nil
}

// openFloor opens the floor's connections until the phase ends; its two halves share them.
func (w *speedWorld) openFloor(ctx context.Context) (*floor, error) {
	if w.floor != nil {
		return w.floor, nil
	}
	if err := w.conn.Exec(ctx, "DROP DATABASE IF EXISTS "+floorDatabase+" SYNC"); err != nil {
		return nil, err
	}
	f, err := openFloor(ctx, w.server)
	if err != nil {
		return nil, err
	}
	w.floor = f
	w.onLeave(func() error { w.floor = nil; return f.close() })
	return f, nil
}

// enterFloor sends the same events as enterNew, one half of the floor each.
func (w *speedWorld) enterFloor(half func(*floor, *loadgen.Generator, uint64) func(context.Context) error) func(context.Context) (func(int) (trial, error), error) {
	return func(ctx context.Context) (func(int) (trial, error), error) {
		f, err := w.openFloor(ctx)
		if err != nil {
			return nil, err
		}
		return func(round int) (trial, error) {
			return trial{run: half(f, w.live, uint64(liveCalls+round))}, nil
		}, nil
	}
}

// Sustained load: so many calls a round from so many clients.
const (
	sustainedCalls   = 20
	sustainedClients = 4
)

func (w *speedWorld) sustainedRounds() int { return max(w.rounds/5, 1) }

// sustained measures calls from several clients without a pause beside the floor from one,
// merges of both included.
func (w *speedWorld) sustained(ctx context.Context) error {
	return w.compete(ctx, w.sustainedRounds(), entrant{speedSustained, w.enterSustained}, entrant{floorSustained, w.enterFloorSustained})
}

func (w *speedWorld) enterSustained(context.Context) (func(int) (trial, error), error) {
	return func(round int) (trial, error) {
		bodies := make([][]byte, sustainedCalls)
		first := sustainedLoads + uint64(round)*sustainedCalls
		for i := range bodies {
			bodies[i] = w.live.AppendRequest(nil, first+uint64(i), (first+uint64(i)+1)*callRows)
		}
		want, _, _ := w.live.Counts(first*callRows, sustainedCalls*callRows)
		var result *singles
		return trial{
			run: func(ctx context.Context) error {
				result = w.server.postAll(ctx, bodies, sustainedClients)
				return result.first
			},
			check: func() error {
				if got := uint64(result.inserted); got > want || got < want-want/1000 {
					return fmt.Errorf("%d were inserted, not %d", got, want)
				}
				return nil
			},
		}, nil
	}, nil
}

func (w *speedWorld) enterFloorSustained(ctx context.Context) (func(int) (trial, error), error) {
	f, err := w.openFloor(ctx)
	if err != nil {
		return nil, err
	}
	return func(round int) (trial, error) {
		var steps []func(context.Context) error
		for i := range uint64(sustainedCalls) {
			batch := floorLoads + uint64(round)*sustainedCalls + i
			steps = append(steps, f.sets(w.live, batch), f.insert(w.live, batch))
		}
		return trial{run: func(ctx context.Context) error {
			var errs []error
			for _, step := range steps {
				errs = append(errs, step(ctx))
			}
			return errors.Join(errs...)
		}}, nil
	}, nil
}

// phones measures reading canonical phones beside the library that says what they are.
func (w *speedWorld) phones(ctx context.Context) error {
	texts := make([][]byte, callRows)
	want := make([]leadevents.Phone, callRows)
	var e loadgen.Event
	for i := range texts {
		w.live.Event(uint64(i), &e)
		texts[i], want[i] = e.Phone.AppendTo(nil), e.Phone
	}
	read := func(parse func([]byte) (leadevents.Phone, bool)) func(context.Context) (func(int) (trial, error), error) {
		got := make([]leadevents.Phone, len(texts))
		return func(context.Context) (func(int) (trial, error), error) {
			return func(int) (trial, error) {
				clear(got)
				run := func(context.Context) error {
					for i, text := range texts {
						got[i], _ = parse(text)
					}
					return nil
				}
				check := func() error {
					for i := range want {
						if got[i] != want[i] {
							return fmt.Errorf("phone %d was read as %d", want[i], got[i])
						}
					}
					return nil
				}
				return trial{run, check}, nil
			}, nil
		}
	}
	return w.compete(ctx, w.rounds, entrant{speedPhones, read(leadevents.ParsePhoneBytes)}, entrant{libraryPhones, read(libraryPhone)})
}
