package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"leadevents/clickhouse/embedded"
	"leadevents/internal/chaos"
	"leadevents/internal/redisserver"
)

// slowBy is how long each piece to and from a slow store waits: a hundred times
// what a round trip takes here, a seventh of ingest.store_silence.
const slowBy = 100 * time.Millisecond

// A store that pauses stands still for pauseFor out of every pauseEvery: what
// falls short of ingest.store_silence (700 ms) is no death.
const (
	pauseFor   = 400 * time.Millisecond
	pauseEvery = 500 * time.Millisecond
)

// fault is what happens to a store while calls come in.
type fault struct {
	name    string
	redis   bool // else ClickHouse
	slow    bool // it still answers, so nothing may be refused
	proxied bool // the server reaches it through a proxy
	begin   func(v victim) (end func(context.Context) error, err error)
}

var faults = []fault{
	{name: "ClickHouse killed", begin: victim.kill},
	{name: "ClickHouse stopped (SIGSTOP)", begin: victim.halt},
	{name: "Redis killed", redis: true, begin: victim.kill},
	{name: "Redis stopped (SIGSTOP)", redis: true, begin: victim.halt},
	{name: "ClickHouse slow: 100 ms each way", slow: true, proxied: true, begin: victim.delay},
	{name: "Redis slow: 100 ms each way", redis: true, slow: true, proxied: true, begin: victim.delay},
	{name: "ClickHouse stands still 400 of 500 ms", slow: true, begin: victim.stutter},
	{name: "Redis stands still 400 of 500 ms", redis: true, slow: true, begin: victim.stutter},
}

// victim is one of the stores.
type victim struct {
	pid   func() int
	stop  func(context.Context) error
	start func(context.Context) error // again, on the same files and ports
	proxy *chaos.Proxy                // between the server and the store, where there is one
}

// kill ends the store as a crash does, and for good: its supervisor is stopped
// before it starts another.
func (v victim) kill() (end func(context.Context) error, err error) {
	if err := v.signal(syscall.SIGKILL); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	return v.start, v.stop(ctx)
}

// halt stops the store's process without ending it: its connections stay open and
// new ones are taken, and nothing is answered.
func (v victim) halt() (end func(context.Context) error, err error) {
	return func(context.Context) error { return v.signal(syscall.SIGCONT) }, v.signal(syscall.SIGSTOP)
}

// delay makes everything that is said take its time.
func (v victim) delay() (end func(context.Context) error, err error) {
	v.proxy.Disturb(chaos.Delay, slowBy)
	return func(context.Context) error { v.proxy.Disturb(chaos.Clean, 0); return nil }, nil
}

// stutter stops the store again and again.
func (v victim) stutter() (end func(context.Context) error, err error) {
	var (
		over = make(chan struct{})
		done = make(chan error, 1)
	)
	go func() {
		for {
			err := v.signal(syscall.SIGSTOP)
			time.Sleep(pauseFor)
			err = errors.Join(err, v.signal(syscall.SIGCONT))
			select {
			case <-over:
				done <- err
				return
			case <-time.After(pauseEvery - pauseFor):
			}
			if err != nil {
				<-over
				done <- err
				return
			}
		}
	}()
	return func(context.Context) error { close(over); return <-done }, nil
}

func (v victim) signal(s syscall.Signal) error {
	pid := v.pid()
	if pid == 0 {
		return errors.New("the store is down already")
	}
	if err := syscall.Kill(pid, s); err != nil {
		return fmt.Errorf("send %v to the store: %w", s, err)
	}
	return nil
}

// victim gives a fault its store.
func (s *stores) victim(redis bool, proxy *chaos.Proxy) victim {
	if redis {
		return victim{
			pid:  func() int { return s.redis.Endpoint().PID },
			stop: func(ctx context.Context) error { return s.redis.Stop(ctx) },
			start: func(ctx context.Context) error {
				again, err := redisserver.Start(ctx, s.redisConfig)
				if err == nil {
					s.redis = again
				}
				return err
			},
			proxy: proxy,
		}
	}
	return victim{
		pid:  func() int { return s.engine.Endpoint().PID },
		stop: func(ctx context.Context) error { return s.engine.Stop(ctx) },
		start: func(ctx context.Context) error {
			again, err := embedded.Start(ctx, s.config)
			if err == nil {
				s.engine = again
			}
			return err
		},
		proxy: proxy,
	}
}
