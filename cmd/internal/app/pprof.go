package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"time"

	"leadevents/configs"
	"leadevents/internal/httpserver"
)

// What is sampled while profiles are served: not all, for a stack is taken each time.
const (
	blockRate     = 10_000 // ns: one event for each so much time that goroutines were blocked
	mutexFraction = 10     // one of so many events of a contended lock
)

const (
	// pprofPatience is how long a client may take to ask, and to take what it has got
	// when a profile's own seconds are over.
	pprofPatience = 30 * time.Second
	// stopPprof: profiles under way end at once.
	stopPprof = 10 * time.Second
)

// pprofURL is where profiles are served.
func pprofURL(address string) string { return "http://" + address + "/debug/pprof/" }

// openPprof serves the profiles of this process where the settings say, until g is
// stopped; nowhere if they do not. The address is one on loopback, as configs holds it
// to be: nobody who asks is asked for a credential.
func openPprof(ctx context.Context, g *group, s configs.Pprof, log *slog.Logger) error {
	if s.Listen == "" {
		return nil
	}
	ln, err := httpserver.Listen(ctx, s.Listen)
	if err != nil {
		return fmt.Errorf("open pprof.listen: %w", err)
	}
	runtime.SetBlockProfileRate(blockRate)
	runtime.SetMutexProfileFraction(mutexFraction)
	log.Info("profiles are served", "url", pprofURL(ln.Addr().String()))
	g.run("pprof", stopPprof, func(ctx context.Context) error {
		defer runtime.SetBlockProfileRate(0)
		defer runtime.SetMutexProfileFraction(0)
		return servePprof(ctx, ln, log)
	})
	return nil
}

// servePprof serves until ctx ends. Its handlers see that end, so that a profile of an
// hour is over then too.
func servePprof(ctx context.Context, ln net.Listener, log *slog.Logger) error {
	// Not http.DefaultServeMux, and not all of net/http/pprof: its cmdline would show
	// what was given by --set.
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // heap, allocs, block, mutex, goroutine by their names
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	srv := &http.Server{
		Handler:           mux,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: pprofPatience, ReadTimeout: pprofPatience, IdleTimeout: pprofPatience,
		WriteTimeout: pprofPatience, // a profile of so many seconds has them on top
		ErrorLog:     slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	select {
	case err := <-ended: // not by us
		return fmt.Errorf("serve profiles: %w", err)
	case <-ctx.Done():
	}
	// A little less than the group waits for this, so that the reason is told.
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPprof-time.Second)
	defer cancel()
	err := srv.Shutdown(stopping)
	if err != nil {
		err = errors.Join(fmt.Errorf("wait for profiles under way: %w", err), srv.Close())
	}
	<-ended // Serve returns when its listener is closed, which Shutdown does first
	return err
}
