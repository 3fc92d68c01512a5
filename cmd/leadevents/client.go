package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/auth"
	"leadevents/cmd/internal/app"
)

// The variables for --url, --key and --ca-file.
const (
	urlEnv = "LEADEVENTS_URL"
	keyEnv = "LEADEVENTS_API_KEY"
	caEnv  = "LEADEVENTS_CA_FILE"
)

const (
	// clientPatience is how long a request that is answered 503 is sent again.
	clientPatience = 2 * time.Minute
	// answerLimit bounds the answers that are held whole.
	answerLimit = 1 << 20
)

// serverFlags say which server a command works with, and as whom.
type serverFlags struct {
	url, key, caFile, dataDir string
	keyless                   bool // the command may do without a key
}

// addServerFlags gives cmd --url, --key, --ca-file and --data-dir.
func addServerFlags(cmd *cobra.Command) *serverFlags {
	f := &serverFlags{}
	cmd.Flags().StringVar(&f.url, "url", "", "the server's `URL` (or "+urlEnv+"; default http://127.0.0.1:8080)")
	f.addCredentialFlags(cmd)
	return f
}

// addCredentialFlags gives cmd all of them but --url.
func (f *serverFlags) addCredentialFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.key, "key", "", "an API `KEY` of the organization (better in "+keyEnv+": the command line is seen by all users of the machine)")
	flags.StringVar(&f.caFile, "ca-file", "", "a `FILE` of authorities for the server's certificate (or "+caEnv+"; default the system's)")
	flags.StringVar(&f.dataDir, "data-dir", "", "take the URL and a key of the leadevents dev that runs on `DIR`")
}

// open makes the client.
func (f *serverFlags) open(cmd *cobra.Command) (*client, error) {
	c := &client{url: f.url, key: auth.NewSecret(f.key), say: func(format string, args ...any) { explain(cmd, format, args...) }}
	caFile := f.caFile
	if caFile == "" {
		caFile = os.Getenv(caEnv)
	}
	trust, err := app.TrustAuthorities(caFile)
	if err != nil {
		return nil, err
	}
	if f.dataDir != "" {
		dev, err := app.RunningDev(f.dataDir)
		if err != nil {
			return nil, err
		}
		if c.url == "" {
			c.url = dev.URL
			if dev.TLSCertFile != "" && f.caFile == "" {
				if trust, err = app.TrustServer(dev.TLSCertFile); err != nil {
					return nil, err
				}
			}
		}
		if c.key.IsZero() {
			c.key = dev.APIKey
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = trust
	transport.MaxIdleConnsPerHost = transport.MaxIdleConns // one host is all there is
	c.http = &http.Client{Transport: transport}
	if c.url == "" {
		c.url = os.Getenv(urlEnv)
	}
	if c.url == "" {
		c.url = "http://127.0.0.1:8080"
	}
	if c.key.IsZero() {
		c.key = auth.NewSecret(os.Getenv(keyEnv))
	}
	if c.key.IsZero() && !f.keyless {
		return nil, usagef(cmd, "an API key is missing: give --key, %s or --data-dir", keyEnv)
	}
	c.url = strings.TrimRight(c.url, "/")
	return c, nil
}

// client speaks to a server.
type client struct {
	url  string
	key  auth.Secret
	http *http.Client
	say  func(format string, args ...any) // to people
}

// send sends one request and gives its answer, if it is a success; the caller
// closes its body. What the server refused is a *leadevents.Error of its kind.
func (c *client) send(ctx context.Context, method, path, contentType string, body io.Reader) (*http.Response, error) {
	header := http.Header{}
	if contentType != "" {
		header.Set("Content-Type", contentType)
	}
	return c.sendWith(ctx, method, path, header, body)
}

// sendWith is send with any headers.
func (c *client) sendWith(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, body)
	if err != nil {
		return nil, fmt.Errorf("make a request of %s: %w", c.url, err)
	}
	request.Header = header.Clone()
	if !c.key.IsZero() {
		request.Header.Set("Authorization", "Bearer "+c.key.Reveal())
	}
	response, err := c.http.Do(request)
	if err != nil {
		if dial := unreached(err); dial != nil {
			return nil, fmt.Errorf("no server can be reached at %s: does it run, and is that its address (--url, %s or --data-dir)? %w", c.url, urlEnv, dial)
		}
		return nil, fmt.Errorf("ask the server: %w", err)
	}
	if response.StatusCode/100 == 2 {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }()
	return nil, refusalOf(response)
}

// unreached is the connection that could not be made; nil where it was another failure.
func unreached(err error) *net.OpError {
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
		return dial
	}
	return nil
}

// strangerError is an answer that is none of a leadevents: of a proxy, or of something else.
type strangerError struct {
	code   int
	status string
}

func (e *strangerError) Error() string {
	return fmt.Sprintf("the server answered %s, and not as leadevents does: is the URL right?", e.status)
}

// refusalOf is the error that the server answered.
func refusalOf(response *http.Response) error {
	var answer struct {
		Error struct{ Code, Message string }
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil || json.Unmarshal(text, &answer) != nil || answer.Error.Message == "" {
		return &strangerError{response.StatusCode, response.Status}
	}
	refused := &leadevents.Error{Message: answer.Error.Message}
	for _, kind := range leadevents.Kinds() {
		if kind.Code() == answer.Error.Code {
			refused.Kind = kind
		}
	}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil {
		refused.RetryAfter = time.Duration(seconds) * time.Second
	}
	return refused
}

// insist sends a request as send does. A 503 is sent again, which is always safe,
// for a while.
func (c *client) insist(ctx context.Context, method, path, contentType string, body []byte) (*http.Response, error) {
	deadline := time.Now().Add(clientPatience)
	for told := false; ; told = true {
		response, err := c.send(ctx, method, path, contentType, bytes.NewReader(body))
		refused, ok := errors.AsType[*leadevents.Error](err)
		if !ok || refused.Kind != leadevents.Unavailable || time.Now().After(deadline) {
			return response, err
		}
		if !told { // or people would wait without knowing for what
			c.say("The server cannot answer now: %v\nIt is asked again for %s; Ctrl-C gives up.", refused, clientPatience)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(max(refused.RetryAfter, time.Second)):
		}
	}
}

// call sends JSON and reads JSON, as insist does; nil is none.
func (c *client) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	contentType := ""
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("write a request: %w", err)
		}
		contentType = "application/json"
	}
	response, err := c.insist(ctx, method, path, contentType, body)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, answerLimit)).Decode(out); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	return nil
}
