package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"leadevents/internal/loadgen"
)

// profileSeconds is how long a load is profiled, after a warm-up of profileWarmUp.
const (
	profileSeconds = 10
	profileWarmUp  = 3 * time.Second
)

// The calls of the profiled server, whose database is one of its own.
const (
	profiledDatabase = "speed_profiled"
	profiledLoads    = 1 << 24
	// profiledSeed begins those of its single events.
	profiledSeed = 4_000_000
)

// serverProfiles are what is taken of each load, by the names of the server's /debug/pprof/.
// But for the processors' they count from the start of the process, so the difference over
// the load's seconds is asked for.
var serverProfiles = []string{"profile", "allocs", "block", "mutex"}

// profile writes the server's profiles under each load into the folder. The server is
// another than the one that was measured: to be profiled costs time.
func (w *speedWorld) profile(ctx context.Context) (err error) {
	if w.profiles == "" {
		return nil
	}
	if err := os.MkdirAll(w.profiles, 0o755); err != nil {
		return err
	}
	temporary, err := os.MkdirTemp("", "leadevents-bench-")
	if err != nil {
		return err
	}
	address, err := freeAddress(temporary)
	if err := errors.Join(err, os.RemoveAll(temporary)); err != nil {
		return err
	}
	s, err := w.serve(ctx, profiledDatabase, storedDatabase, "redis.key_prefix=profiled", "pprof.listen="+address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	for _, load := range []struct {
		name string
		send func(ctx context.Context, until <-chan struct{}) error
	}{
		{"new", w.profiledCalls(s, w.live, false)},
		{"duplicates", w.profiledCalls(s, w.live, true)},
		{"old", w.profiledCalls(s, w.old, false)},
		{"singles", func(ctx context.Context, until <-chan struct{}) error {
			_, err := (&fairnessBench{seed: profiledSeed}).stream(ctx, s, manyConnections, 0, false, until)
			return err
		}},
	} {
		if err := w.settle(ctx); err != nil {
			return err
		}
		if err := w.profileUnder(ctx, "http://"+address+"/debug/pprof/", load.name, load.send); err != nil {
			return fmt.Errorf("profile the server under %s: %w", load.name, err)
		}
	}
	w.report.linef("Profiles of the server under new, duplicate, old and single events lie in %s: go tool pprof -http=: %s %s",
		w.profiles, w.binary, filepath.Join(w.profiles, profileFile("new", "profile")))
	return nil
}

func profileFile(load, profile string) string {
	if profile == "profile" {
		profile = "cpu"
	}
	return load + "." + profile + ".pb.gz"
}

// profiledCalls sends calls of 50,000 events one after the other: new ones, or the first
// again and again.
func (w *speedWorld) profiledCalls(s *server, g *loadgen.Generator, again bool) func(context.Context, <-chan struct{}) error {
	return func(ctx context.Context, until <-chan struct{}) error {
		batch := uint64(profiledLoads)
		body := g.AppendRequest(nil, batch, (batch+1)*callRows)
		for {
			select {
			case <-until:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			default:
			}
			if _, err := s.post(body); err != nil {
				return err
			}
			if !again {
				batch++
				body = g.AppendRequest(body[:0], batch, (batch+1)*callRows)
			}
		}
	}
}

// profileUnder takes all profiles at once while send loads the server.
func (w *speedWorld) profileUnder(ctx context.Context, from, load string, send func(context.Context, <-chan struct{}) error) error {
	group, ctx := errgroup.WithContext(ctx)
	until := make(chan struct{})
	group.Go(func() error { return send(ctx, until) })
	group.Go(func() error {
		defer close(until)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(profileWarmUp):
		}
		profiles, ctx := errgroup.WithContext(ctx)
		for _, name := range serverProfiles {
			profiles.Go(func() error {
				return download(ctx, fmt.Sprintf("%s%s?seconds=%d", from, name, profileSeconds), filepath.Join(w.profiles, profileFile(load, name)))
			})
		}
		return profiles.Wait()
	})
	return group.Wait()
}

// download writes what a URL answers into a file.
func download(ctx context.Context, from, to string) error {
	ctx, cancel := context.WithTimeout(ctx, profileSeconds*time.Second+time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	return exchange(http.DefaultClient, request, "read "+from, func(body io.Reader) (err error) {
		f, err := os.Create(to)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		if _, err := io.Copy(f, body); err != nil {
			return fmt.Errorf("write %s: %w", to, err)
		}
		return nil
	})
}
