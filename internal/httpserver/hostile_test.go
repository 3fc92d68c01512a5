package httpserver

import (
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// servesOthers makes requests on new connections, each of which must be answered.
func (f *fixture) servesOthers(t *testing.T, what string) {
	t.Helper()
	for range 20 {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
		resp, err := client.Post(f.url+"/read", "application/json", strings.NewReader(`{"a":1}`))
		if err != nil {
			t.Fatalf("%s: another client: %v", what, err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || string(text) != "7" {
			t.Fatalf("%s: another client got %d %s, %v", what, resp.StatusCode, text, err)
		}
	}
}

// Clients that open connections and do nothing, or next to nothing, with them
// only take them from one another.
func TestManyConnectionsKeepNobodyOut(t *testing.T) {
	const most = 200
	f := start(t, func(c *Config) { c.MaxConnections = most }, bodyRoutes)
	before := memoryInUse()
	for _, tt := range []struct{ name, sends string }{
		{"silent", ""},
		{"half a header", "POST /read HTTP/1.1\r\nHost: x\r\nX-Slow: "},
		{"half a body", "POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nx"},
		{"idle after a request", "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"},
	} {
		for range 3 * most {
			c, err := net.Dial("tcp", f.addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			_, _ = io.WriteString(c, tt.sends) // one that was closed for another cannot
		}
		f.servesOthers(t, tt.name)
		if open, _ := f.conns.counts(); open > most {
			t.Errorf("%s: %d connections are open", tt.name, open)
		}
	}
	if testutil.ToFloat64(f.metrics.evicted) == 0 {
		t.Error("none was closed for another")
	}
	// The test's own ends of 2,400 sockets too.
	if grown := memoryInUse() - before; grown > 32<<20 {
		t.Errorf("the server has grown by %d bytes", grown)
	}
}

// A request is not given up for a new connection.
func TestARequestThatIsHandledKeepsItsConnection(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	const most = 10
	f := start(t, func(c *Config) { c.MaxConnections = most }, func(s *Server) {
		bodyRoutes(s)
		s.App().Get("/wait", func(c *fiber.Ctx) error {
			entered <- struct{}{}
			<-leave
			return c.SendString("done")
		})
	})
	first := f.dial(t)
	first.write("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	for range 3 * most {
		f.dial(t)
	}
	f.servesOthers(t, "beside it")
	eventually(t, "others had to go", func() bool { return testutil.ToFloat64(f.metrics.evicted) > most })
	close(leave)
	if a := first.answer(); a.status != 200 || a.body != "done" {
		t.Errorf("%d %q", a.status, a.body)
	}
}

// Bodies that trickle in hold no place among the requests that are handled.
func TestSlowBodiesKeepNobodyOut(t *testing.T) {
	const slow = 100
	f := start(t, func(c *Config) { c.MaxRequests = 4 }, bodyRoutes)
	clients := make([]*rawConn, slow)
	for i := range clients {
		clients[i] = f.dial(t)
		clients[i].write("POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nx")
	}
	eventually(t, "all are being read", func() bool { return f.memory.inUse() == slow*4<<10 })
	f.servesOthers(t, "slow bodies")
	for _, c := range clients { // one after the other: there are four places
		c.write("yzx")
		if a := c.answer(); a.status != 200 || a.body != "4" {
			t.Fatalf("a slow one in the end: %d %s", a.status, a.body)
		}
	}
}

func TestABodyThatComesWhenAllPlacesAreTakenIsTold(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	f := start(t, func(c *Config) { c.MaxRequests = 1 }, func(s *Server) {
		bodyRoutes(s)
		s.App().Get("/wait", func(*fiber.Ctx) error {
			entered <- struct{}{}
			<-leave
			return nil
		})
	})
	slow := f.dial(t)
	slow.write("POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nx")
	eventually(t, "it has stepped aside", func() bool { return f.memory.inUse() > 0 && f.requests.inUse() == 0 })
	other := f.dial(t)
	other.write("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	slow.write("yzx")
	wantError(t, slow.answer(), 503, "unavailable")
	close(leave)
	if a := other.answer(); a.status != 200 {
		t.Errorf("the other: %d", a.status)
	}
	slow.write("POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
	if a := slow.answer(); a.status != 200 {
		t.Errorf("sent again: %d", a.status)
	}
}

// Random bytes, in the clear and as TLS, alone and behind the beginning of a request.
func TestRandomBytesHarmNobody(t *testing.T) {
	f := start(t, func(c *Config) {
		c.HeaderTimeout, c.BodyTimeout, c.LingerTimeout = time.Second, time.Second, time.Second
	}, bodyRoutes)
	sf := startSecure(t, func(c *Config) { c.HeaderTimeout = time.Second }, bodyRoutes)
	before := memoryInUse()
	beginnings := []string{
		"", "\x16\x03\x01\x02\x00\x01", "GET ", "POST /read HTTP/1.1\r\n",
		"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
		"POST /read HTTP/1.1\r\nHost: x\r\nContent-Encoding: zstd\r\nContent-Length: 4096\r\n\r\n",
		"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
	}
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			random := rand.NewChaCha8([32]byte{byte(worker)})
			noise := make([]byte, 16<<10)
			for i := range 100 {
				_, _ = random.Read(noise)
				address := f.addr
				if i%4 == 3 {
					address = sf.addr
				}
				c, err := net.Dial("tcp", address)
				if err != nil {
					t.Errorf("dial: %v", err)
					return
				}
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				_, _ = io.WriteString(c, beginnings[i%len(beginnings)])
				_, _ = c.Write(noise[:random.Uint64()%uint64(len(noise))])
				_ = c.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, c) // until the server has had enough
				_ = c.Close()
			}
		})
	}
	f.servesOthers(t, "random bytes")
	all.Wait()
	f.servesOthers(t, "after random bytes")
	if resp := get(t, sf.secureDial(t), "/livez"); resp.StatusCode != 200 {
		t.Errorf("under TLS: %d", resp.StatusCode)
	}
	if n := testutil.ToFloat64(f.metrics.panics) + testutil.ToFloat64(sf.metrics.panics); n != 0 {
		t.Errorf("%v handlers panicked", n)
	}
	eventually(t, "all of it is over", func() bool {
		open, lingering := f.conns.counts()
		return open <= 1 && lingering == 0 && f.memory.inUse() == 0
	})
	if grown := memoryInUse() - before; grown > 32<<20 {
		t.Errorf("the servers have grown by %d bytes", grown)
	}
}
