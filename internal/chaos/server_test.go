package chaos

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// server is one server process with a proxy before each of its stores. It comes
// back at the same address whenever it is started again.
type server struct {
	t       testing.TB
	addr    string
	command func(s *server) *exec.Cmd
	log     *os.File

	clickHouse, redis *Proxy

	mu      sync.Mutex
	process *os.Process
	wanted  bool          // nobody has asked it to end
	ended   chan struct{} // closed when the process has
	died    []string      // ends that nobody asked for
}

// newServer prepares a server; command makes its process, listening on addr.
func newServer(t testing.TB, name string, clickHouse, redis func() string, command func(s *server) *exec.Cmd) *server {
	t.Helper()
	s := &server{t: t, addr: freeAddress(t), command: command}
	var err error
	if s.log, err = os.Create(filepath.Join(t.TempDir(), name+".log")); err != nil {
		t.Fatal(err)
	}
	if s.clickHouse, err = NewProxy(clickHouse); err != nil {
		t.Fatal(err)
	}
	if s.redis, err = NewProxy(redis); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.signal(syscall.SIGCONT)
		s.end(syscall.SIGKILL)
		s.clickHouse.Close()
		s.redis.Close()
		_ = s.log.Close()
	})
	return s
}

// freeAddress is one that was free a moment ago.
func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// start starts the process; it may be called when it runs already.
func (s *server) start() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		return
	}
	cmd := s.command(s)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("start a server: %v", err)
	}
	s.process, s.wanted, s.ended = cmd.Process, true, make(chan struct{})
	ended := s.ended
	go func() {
		err := cmd.Wait()
		s.mu.Lock()
		if s.wanted {
			s.died = append(s.died, fmt.Sprintf("the server at %s ended by itself: %v\n%s", s.addr, err, tail(s.log.Name())))
		}
		s.process = nil
		s.mu.Unlock()
		close(ended)
	}()
}

func (s *server) signal(signal syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		_ = s.process.Signal(signal)
	}
}

// end ends the process and waits until it has; SIGTERM has a minute.
func (s *server) end(signal syscall.Signal) {
	s.t.Helper()
	s.mu.Lock()
	s.wanted = false
	running, ended := s.process != nil, s.ended
	s.mu.Unlock()
	if !running {
		return
	}
	s.signal(signal)
	select {
	case <-ended:
	case <-time.After(time.Minute):
		s.t.Errorf("the server at %s does not end within a minute of %v:\n%s", s.addr, signal, tail(s.log.Name()))
		s.signal(syscall.SIGKILL)
		<-ended
	}
}

// deaths is how often it ended though nobody asked.
func (s *server) deaths() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.died
}

// ready says whether /readyz is answered 200.
func (s *server) ready() bool {
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get("http://" + s.addr + "/readyz")
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// heal ends every disturbance.
func (s *server) heal() {
	s.signal(syscall.SIGCONT)
	s.clickHouse.Disturb(Clean, 0)
	s.redis.Disturb(Clean, 0)
	s.start()
}

func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-3000):])
}
