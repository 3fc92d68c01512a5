package child

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
)

// Ports gives n free TCP ports on 127.0.0.1. The ones given last time under
// this name are given again as long as they are free, so that clients of a
// restarted store need not learn new ones; otherwise others are chosen and
// remembered. Whoever binds a port between this check and the child's own bind
// wins: the child fails, and the next call finds it taken.
func (f *Folder) Ports(name string, n int) ([]int, error) {
	var remembered []int
	if data, err := os.ReadFile(f.Path(name)); err == nil {
		_ = json.Unmarshal(data, &remembered) // an unreadable memory is none
	}
	ports := make([]int, 0, n)
	var held []net.Listener // until all are chosen: no port twice
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	changed := len(remembered) != n
	for i := range n {
		var l net.Listener
		if i < len(remembered) {
			l, _ = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", remembered[i])) // taken: another one
		}
		if l == nil {
			changed = true
			var err error
			if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
				return nil, fmt.Errorf("find a free port on 127.0.0.1: %w", err)
			}
		}
		held = append(held, l)
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	if !changed {
		return ports, nil
	}
	data, err := json.Marshal(ports)
	if err != nil {
		return nil, fmt.Errorf("encode the ports: %w", err)
	}
	return ports, f.WriteFile(name, append(data, '\n'))
}
