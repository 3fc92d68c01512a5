package main

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/gofiber/fiber/v2"
	"github.com/spf13/cobra"
	"github.com/valyala/fasthttp"
)

// Single events a round.
const (
	manyRequests, manyConnections = 50_000, 1024
	someRequests, someConnections = 20_000, 64
)

// The seeds of single events: apart, so that each is new.
const (
	manySeed  = 1_000_000
	someSeed  = 2_000_000
	fiberSeed = 3_000_000
)

func (w *speedWorld) singleRounds() int { return max(w.rounds/3, 1) }

// singles measures calls of one event each from many connections beside Fiber that does
// nothing with them.
func (w *speedWorld) singles(ctx context.Context) error {
	return w.compete(ctx, w.singleRounds(),
		entrant{speedMany, func(context.Context) (func(int) (trial, error), error) {
			return w.singleCalls(w.server, manySeed, manyRequests, manyConnections, nil), nil
		}},
		entrant{fiberMany, w.enterFiber},
		entrant{speedSome, func(context.Context) (func(int) (trial, error), error) {
			return w.singleCalls(w.server, someSeed, someRequests, someConnections, func(round int, s *singles) {
				if round > 0 {
					w.figure(speedP99, float64(s.latencies.quantile(0.99).Microseconds())/1000)
				}
			}), nil
		}},
	)
}

func (w *speedWorld) singleCalls(s *server, seed uint64, requests, connections int, keep func(round int, s *singles)) func(int) (trial, error) {
	return func(round int) (trial, error) {
		bodies, err := singleBodies(speedOrg, seed+uint64(round), requests)
		var result *singles
		return trial{
			run: func(ctx context.Context) error { result = s.postAll(ctx, bodies, connections); return ctx.Err() },
			check: func() error {
				if keep != nil {
					keep(round, result)
				}
				return result.err(requests)
			},
		}, err
	}
}

// fiberPeer is what a Fiber without stores answers, and where.
type fiberPeer struct{ Listen, Answer, ContentType string }

func newFiberPeer() *cobra.Command {
	return newPeer("fiber", func(p fiberPeer) string { return p.Listen }, func(ctx context.Context, ln net.Listener, p fiberPeer) error { return p.serve(ctx, ln) })
}

// enterFiber runs Fiber, which reads a request's body and answers what ours has answered
// to one: no key is looked at, nothing decoded, no store asked.
func (w *speedWorld) enterFiber(ctx context.Context) (func(int) (trial, error), error) {
	body, err := singleBodies(speedOrg, fiberSeed, 1)
	if err != nil {
		return nil, err
	}
	text, contentType, err := w.server.answerTo(body[0])
	if err != nil {
		return nil, err
	}
	s, err := startPeer(ctx, "fiber", func(address string) any { return fiberPeer{address, text, contentType} })
	if err != nil {
		return nil, err
	}
	w.onLeave(s.stop)
	return w.singleCalls(s, fiberSeed, manyRequests, manyConnections, nil), nil
}

// answerTo is the answer to one call as it stands on the wire.
func (s *server) answerTo(body []byte) (text, contentType string, err error) {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	s.fill(request, body)
	if err := s.client.Do(request, response); err != nil {
		return "", "", err
	}
	if response.StatusCode() != http.StatusOK {
		return "", "", fmt.Errorf("the server answered %d: %s", response.StatusCode(), response.Body())
	}
	return string(response.Body()), string(response.Header.ContentType()), nil
}

func (p fiberPeer) serve(ctx context.Context, ln net.Listener) error {
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
	answer := []byte(p.Answer)
	app.Get("/readyz", func(c *fiber.Ctx) error { return c.SendStatus(http.StatusOK) })
	app.Post(eventsPath, func(c *fiber.Ctx) error {
		if len(c.Body()) == 0 {
			return fiber.ErrBadRequest
		}
		c.Set(fiber.HeaderContentType, p.ContentType)
		return c.Send(answer)
	})
	context.AfterFunc(ctx, func() { _ = app.ShutdownWithTimeout(stopLimit) }) // then Listener returns
	return app.Listener(ln)
}
