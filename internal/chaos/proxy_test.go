package chaos

import (
	"bufio"
	"errors"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// echo answers each line with itself, and counts the bytes it got.
type echo struct {
	listener net.Listener
	bytes    atomic.Int64
}

func newEcho(t *testing.T) *echo {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{listener: listener}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buffer := make([]byte, 1024)
				for {
					n, err := conn.Read(buffer)
					e.bytes.Add(int64(n))
					if err != nil {
						return
					}
					if _, err := conn.Write(buffer[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return e
}

// session is a client's connection through a proxy.
type session struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func through(t *testing.T, e *echo) (*Proxy, *session) {
	t.Helper()
	p, err := NewProxy(e.listener.Addr().String)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, dial(t, p)
}

func dial(t *testing.T, p *Proxy) *session {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &session{t, conn, bufio.NewReader(conn)}
}

func (s *session) say(line string) { _, _ = s.Write([]byte(line + "\n")) }

// hears reads a line within d.
func (s *session) hears(d time.Duration) (string, error) {
	_ = s.SetReadDeadline(time.Now().Add(d))
	line, err := s.r.ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

func (s *session) works() {
	s.t.Helper()
	s.say("hello")
	if line, err := s.hears(10 * time.Second); line != "hello" {
		s.t.Fatalf("heard %q, %v", line, err)
	}
}

// ended says that the other side ended the connection; a timeout is none.
func ended(err error) bool { return err != nil && !errors.Is(err, os.ErrDeadlineExceeded) }

func (e *echo) waitFor(t *testing.T, bytes int64) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); e.bytes.Load() != bytes; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("the server got %d bytes, want %d", e.bytes.Load(), bytes)
		}
	}
}

func TestACutReplyLeavesTheRequestThrough(t *testing.T) {
	e := newEcho(t)
	p, s := through(t, e)
	s.works()
	p.Disturb(CutReplies, 0)
	s.say("second")
	if line, err := s.hears(10 * time.Second); line != "" || !ended(err) {
		t.Errorf("heard %q, %v", line, err)
	}
	e.waitFor(t, int64(len("hello\nsecond\n")))
	p.Disturb(Clean, 0)
	dial(t, p).works()
}

func TestACutRequestArrivesInHalf(t *testing.T) {
	e := newEcho(t)
	p, s := through(t, e)
	s.works()
	p.Disturb(CutRequests, 0)
	s.say("0123456789abcde") // 16 bytes with its end
	if _, err := s.hears(10 * time.Second); !ended(err) {
		t.Errorf("the connection lives: %v", err)
	}
	e.waitFor(t, int64(len("hello\n"))+8)
}

func TestAStallHoldsEverythingAndLosesNothing(t *testing.T) {
	p, s := through(t, newEcho(t))
	s.works()
	p.Disturb(Stall, 0)
	s.say("late")
	if line, err := s.hears(100 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("heard %q, %v during the stall", line, err)
	}
	p.Disturb(Clean, 0)
	if line, err := s.hears(10 * time.Second); line != "late" {
		t.Errorf("heard %q, %v after it", line, err)
	}
}

func TestADelayHoldsBothDirections(t *testing.T) {
	p, s := through(t, newEcho(t))
	p.Disturb(Delay, 50*time.Millisecond)
	begun := time.Now()
	s.works()
	if d := time.Since(begun); d < 100*time.Millisecond {
		t.Errorf("there and back took %s", d)
	}
}

func TestRefuseEndsOldAndNewConnections(t *testing.T) {
	p, s := through(t, newEcho(t))
	s.works()
	p.Disturb(Refuse, 0)
	if _, err := s.hears(10 * time.Second); !ended(err) {
		t.Errorf("the old connection lives: %v", err)
	}
	if _, err := dial(t, p).hears(10 * time.Second); !ended(err) {
		t.Errorf("a new connection lives: %v", err)
	}
	p.Disturb(Clean, 0)
	dial(t, p).works()
}
