package clickhouse

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"leadevents/internal/storetest"
)

// Closing a socket with unread bytes resets it, and the embedded engine aborts on
// a reset that it meets while it waits for a query.
func TestClosedConnectionsAreNotReset(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	var lingering lingering
	defer lingering.wait()
	for _, unread := range []int{1, 4 << 20} {
		ended := make(chan error, 1)
		go func() {
			conn, err := listener.Accept()
			if err != nil {
				ended <- err
				return
			}
			defer func() { _ = conn.Close() }()
			_, err = conn.Write(make([]byte, 1+unread))
			_, end := conn.Read(make([]byte, 1))
			if end == io.EOF {
				end = nil
			}
			ended <- errors.Join(err, end)
		}()
		plain, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn := polite(plain, &lingering, new(atomic.Uint64))
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a read after the close: %v", err)
		}
		if _, err := conn.(syscall.Conn).SyscallConn(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the driver takes it for a good one: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("%d bytes unread: the server has seen %v", unread, err)
		}
	}
}

// A read that waits is ended by the close, as with any connection.
func TestACloseEndsAReadThatWaits(t *testing.T) {
	here, there := tcpPair(t)
	var lingering lingering
	defer lingering.wait()
	defer func() { _ = there.Close() }()
	conn := polite(here, &lingering, new(atomic.Uint64))
	ended := make(chan error)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		ended <- err
	}()
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it has read something")
		}
	case <-time.After(10 * time.Second):
		t.Error("the read still waits")
	}
}

// The driver closes connections that come back when the pool has been closed.
func TestConnectionsThatAreClosedWhileOrAfterThePoolIsEndToo(t *testing.T) {
	var lingering lingering
	var closing sync.WaitGroup
	conns := make([]net.Conn, 20)
	for i := range conns {
		here, there := tcpPair(t)
		defer func() { _ = there.Close() }()
		closing.Go(func() { // the server: it closes its side when it sees ours closed
			_, err := io.Copy(io.Discard, there)
			if err := errors.Join(err, there.Close()); err != nil {
				t.Errorf("the server has seen %v", err)
			}
		})
		conns[i] = polite(here, &lingering, new(atomic.Uint64))
	}
	for _, conn := range conns[1:] {
		closing.Go(func() {
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	lingering.wait()
	if err := conns[0].Close(); err != nil {
		t.Error(err)
	}
	if err := conns[0].(*politeConn).TCPConn.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the last connection is still open: %v", err)
	}
	closing.Wait()
}

// A long answer, or one that is read slowly, is not cut off while it flows.
func TestAReadDeadlineIsHowLongTheServerMayBeSilent(t *testing.T) {
	here, there := tcpPair(t)
	var lingering lingering
	defer lingering.wait()
	defer func() { _ = there.Close() }()
	conn := polite(here, &lingering, new(atomic.Uint64))
	defer func() { _ = conn.Close() }()
	const moment = 50 * time.Millisecond
	read := func() error {
		t.Helper()
		_, err := conn.Read(make([]byte, 1))
		return err
	}
	timedOut := func(what string, err error) {
		t.Helper()
		if timeout, ok := err.(net.Error); !ok || !timeout.Timeout() {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, wrote := there.Write([]byte("answer"))
	if err := errors.Join(wrote, conn.SetReadDeadline(time.Now().Add(moment))); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * moment) // the reader takes its time
	if err := read(); err != nil {
		t.Errorf("an answer that has come was not read: %v", err)
	}
	if err := conn.SetDeadline(time.Now().Add(moment)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * moment)
	timedOut("a context's deadline has passed", read())
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	for range "nswer" {
		if err := read(); err != nil {
			t.Errorf("without a deadline: %v", err)
		}
	}
	if err := conn.SetReadDeadline(time.Now().Add(moment)); err != nil {
		t.Fatal(err)
	}
	timedOut("a silent server", read())
}

// Under TLS too a connection is heard and closes politely.
func TestConnectionsAreSecuredOverPoliteOnes(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	addr := server.Listener.Addr().String()
	dial := func(roots *x509.CertPool) (net.Conn, *atomic.Uint64, error) {
		plain, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		lingering, heard := &lingering{}, new(atomic.Uint64)
		t.Cleanup(lingering.wait)
		conn, err := secure(t.Context(), polite(plain, lingering, heard), &tls.Config{RootCAs: roots}, addr)
		return conn, heard, err
	}
	roots := x509.NewCertPool()
	if _, _, err := dial(roots); err == nil || !strings.Contains(err.Error(), "x509") {
		t.Errorf("a certificate of nobody we know: %v", err)
	}
	roots.AddCert(server.Certificate())
	conn, heard, err := dial(roots)
	if err != nil {
		t.Fatal(err)
	}
	before := heard.Load()
	_, wrote := conn.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
	answer, read := io.ReadAll(conn)
	if err := errors.Join(wrote, read, conn.Close()); err != nil {
		t.Error(err)
	}
	if !strings.HasPrefix(string(answer), "HTTP/1.0 404") || heard.Load() == before {
		t.Errorf("answered %q, heard %d times", answer, heard.Load()-before)
	}
}

func tcpPair(t *testing.T) (here, there net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if here, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if there, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	return here, there
}

// The engine is left in the moment between two of its answers, with one unread.
func TestTheEngineOutlivesConnectionsThatAreClosedEarly(t *testing.T) {
	engine := storetest.OwnClickHouse(t)
	before := engine.Endpoint()
	text := func(b []byte, s string) []byte { return append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	const revision = 54460
	hello := text([]byte{0}, "test")
	hello = binary.AppendUvarint(append(hello, 1, 0), revision)
	hello = text(text(text(hello, storetest.OwnDatabase), before.User), before.Password)

	var lingering lingering
	for range 100 {
		plain, err := net.Dial("tcp", before.Native)
		if err != nil {
			t.Fatal(err)
		}
		conn := polite(plain, &lingering, new(atomic.Uint64))
		_, wrote := conn.Write(hello)
		_, read := conn.Read(make([]byte, 4096))
		_, pinged := conn.Write([]byte{0 /* the end of the greeting: no quota key */, 4 /* ping */})
		if err := errors.Join(wrote, read, pinged, conn.Close()); err != nil {
			t.Fatal(err)
		}
	}
	lingering.wait()
	if _, err := engine.Exec(t.Context(), "SELECT 1"); err != nil || engine.Endpoint().PID != before.PID {
		t.Errorf("the engine was process %d and is %d: %v", before.PID, engine.Endpoint().PID, err)
	}
}

// What ends after a batch was sent does not end its context, by which the driver would close a connection that
// is another query's by then; before it, it does.
func TestABatchThatWasSentIsNotInterrupted(t *testing.T) {
	type key struct{}
	for _, sentFirst := range []bool{true, false} {
		parent, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, 1), time.Hour)
		until, sent := untilSent(parent)
		want, _ := parent.Deadline()
		if at, ok := until.Deadline(); !ok || !at.Equal(want) || until.Value(key{}) != 1 {
			t.Errorf("a deadline of %s (%t), want %s; the value %v", at, ok, want, until.Value(key{}))
		}
		if sentFirst {
			sent()
		}
		cancel()
		select {
		case <-until.Done():
			if sentFirst {
				t.Error("a batch that was sent is interrupted")
			}
		case <-time.After(map[bool]time.Duration{true: 50 * time.Millisecond, false: time.Minute}[sentFirst]):
			if !sentFirst {
				t.Error("a batch that is being sent goes on when its context has ended")
			}
		}
		sent()
	}
}
