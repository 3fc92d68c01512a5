package httpserver

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
)

func TestShutdownAnswersWhatIsInFlight(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	f := start(t, nil, func(s *Server) {
		s.App().Get("/wait", func(c *fiber.Ctx) error {
			close(entered)
			<-leave
			if err := Context(c).Err(); err != nil {
				return err
			}
			return c.SendString("finished")
		})
	})
	busy, idle, silent := f.dial(t), f.dial(t), f.dial(t)
	idle.write("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
	idle.answer()
	busy.write("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered

	done := make(chan struct{})
	started := time.Now()
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		f.stop(t, ctx)
	}()
	idle.ended()
	if d := time.Since(started); d > time.Second {
		t.Errorf("the idle connection lived for another %s", d)
	}
	silent.ended()
	eventually(t, "new connections are refused", func() bool {
		c, err := net.Dial("tcp", f.addr)
		if err == nil {
			c.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	select {
	case <-done:
		t.Fatal("Shutdown did not wait for the request")
	default:
	}
	close(leave)
	if a := busy.answer(); a.body != "finished" || a.header.Get("Connection") != "close" {
		t.Errorf("the request in flight: %d %q %v", a.status, a.body, a.header)
	}
	<-done
}

func TestShutdownIsBounded(t *testing.T) {
	entered := make(chan struct{})
	handler := make(chan error, 1)
	f := start(t, nil, func(s *Server) {
		s.App().Get("/stuck", func(c *fiber.Ctx) error {
			ctx := Context(c)
			close(entered)
			<-ctx.Done()
			handler <- ctx.Err()
			return nil
		})
	})
	c := f.dial(t)
	c.write("GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	f.stopped = true
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	err := f.Shutdown(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 requests were still in flight") {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-handler; !errors.Is(err, context.Canceled) {
		t.Errorf("the handler's context: %v", err)
	}
	if _, err := c.r.ReadByte(); err == nil {
		t.Error("the connection still answers")
	}
	if err := <-f.served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestShutdownGivesLingeringClientsASecond(t *testing.T) {
	f := start(t, func(c *Config) { c.LingerTimeout = time.Minute }, bodyRoutes)
	c := f.dial(t)
	c.write("POST /deny HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\nx")
	eventually(t, "it lingers", func() bool { _, lingering := f.conns.counts(); return lingering == 1 })
	started := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	f.stop(t, ctx)
	if d := time.Since(started); d > 3*time.Second {
		t.Errorf("Shutdown took %s", d)
	}
	wantError(t, c.answer(), 401, "unauthenticated")
}

// scarce is a listener on a machine that is out of file descriptors twice.
type scarce struct {
	net.Listener
	failures int
}

func (l *scarce) Accept() (net.Conn, error) {
	if l.failures > 0 {
		l.failures--
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

func TestServeSurvivesWantOfFileDescriptors(t *testing.T) {
	f := start(t, nil, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := f.conns.listen(&scarce{ln, 2})
	defer l.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatalf("Accept gave up: %v", err)
	}
	c.Close()
	if lines := f.log.lines(t, "accept a connection"); len(lines) != 2 {
		t.Errorf("logged %v", lines)
	}
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept of a closed listener: %v", err)
	}
}

func TestServeReportsABrokenListener(t *testing.T) {
	f := start(t, nil, nil)
	if err := f.Serve(brokenListener{}); !errors.Is(err, errBroken) {
		t.Errorf("Serve: %v", err)
	}
}

var errBroken = errors.New("broken")

type brokenListener struct{}

func (brokenListener) Accept() (net.Conn, error) { return nil, errBroken }
func (brokenListener) Close() error              { return nil }
func (brokenListener) Addr() net.Addr            { return &net.TCPAddr{} }

func TestShutdownBeforeServeEndsIt(t *testing.T) {
	f := start(t, nil, nil)
	f.stop(t, t.Context())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Serve(ln); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is still open: %v", err)
	}
}
