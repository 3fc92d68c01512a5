package embedded

import (
	"fmt"
	"io"
	"net"
	"time"
)

// relayFlag is the child's argument for it: --relay=from,to, two ports on 127.0.0.1.
const relayFlag = "--relay="

const (
	relayDial = 5 * time.Second
	// relayDrain bounds how long the engine may go on answering somebody who has gone. It
	// notices within a second, wherever it is not stopped itself.
	relayDrain = 10 * time.Minute
)

// relay stands before the engine's native port, in the engine's own process, so that both
// live and die together. The library lets an exception that leaves a connection's handler
// end the process, and the reset of a killed client, where it meets the engine between
// two queries, is one. Behind the relay every client leaves in order. Bytes go through
// it by splice, without a copy.
func relay(from, to string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:"+from)
	if err != nil {
		return fmt.Errorf("listen for native clients: %w", err)
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil { // of one connection, such as too many open files
				time.Sleep(10 * time.Millisecond)
				continue
			}
			go pass(client.(*net.TCPConn), "127.0.0.1:"+to)
		}
	}()
	return nil
}

// pass moves bytes both ways until the engine ends the connection.
func pass(client *net.TCPConn, to string) {
	defer func() { _ = client.Close() }()
	conn, err := net.DialTimeout("tcp", to, relayDial)
	if err != nil {
		return // the engine is starting or ending
	}
	engine := conn.(*net.TCPConn)
	defer func() { _ = engine.Close() }()
	go func() {
		_, _ = io.Copy(engine, client)
		_ = engine.SetReadDeadline(time.Now().Add(relayDrain))
		_ = engine.CloseWrite() // also after a reset
	}()
	// Where the client has gone, the rest is read all the same: closing with something
	// unread would be a reset, of ours.
	if _, err := io.Copy(client, engine); err != nil {
		_ = client.Close() // ends the other direction
		_, _ = io.Copy(io.Discard, engine)
	}
}
