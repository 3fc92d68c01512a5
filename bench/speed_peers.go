package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"

	"github.com/spf13/cobra"
)

// A peer that is a service runs in a process of its own, as ours does: this program
// again, with a command that is not listed.

// eventsPath is where ours takes events, and so its peers do.
const eventsPath = "/api/v1/webhooks/lead-events"

// peerVariable holds a peer's settings: there are passwords among them.
const peerVariable = "BENCH_PEER"

// startPeer runs a peer and waits until it listens. The settings have to have the
// address in them.
func startPeer(ctx context.Context, command string, settings func(address string) any) (s *server, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s = &server{}
	if s.folder, err = os.MkdirTemp("", "leadevents-bench-"); err != nil {
		return nil, err
	}
	address, err := freeAddress(s.folder)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.folder))
	}
	text, err := json.Marshal(settings(address))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.folder))
	}
	cmd := exec.Command(program, command)
	cmd.Env = append(os.Environ(), peerVariable+"="+string(text))
	s.URL = "http://" + address
	if err := s.launch(cmd); err != nil {
		return nil, err
	}
	s.connect()
	err = s.await(ctx, startLimit, func() bool {
		status, _, err := s.client.Get(nil, s.URL+"/readyz")
		return err == nil && status == http.StatusOK
	})
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// newPeer is the command of a peer: serve answers on ln until ctx ends.
func newPeer[settings any](name string, listen func(settings) string, serve func(ctx context.Context, ln net.Listener, s settings) error) *cobra.Command {
	return &cobra.Command{
		Use: name, Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s settings
			if err := json.Unmarshal([]byte(os.Getenv(peerVariable)), &s); err != nil {
				return fmt.Errorf("read the settings in %s: %w", peerVariable, err)
			}
			ln, err := net.Listen("tcp", listen(s))
			if err != nil {
				return err
			}
			return serve(cmd.Context(), ln, s)
		},
	}
}
