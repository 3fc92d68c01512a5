package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/auth"
	"leadevents/ingest/backfill"
)

// signingEnv is the variable for the secret of an organization in hmac mode. There is no flag:
// the command line is seen by all users of the machine.
const signingEnv = "LEADEVENTS_SIGNING_SECRET"

const webhooks = "/api/v1/webhooks/"

// signedServer is a server of a backfill: a client whose webhooks are signed, if there
// is a secret, and whose errors say what sending again may mend.
type signedServer struct {
	*client
	secret auth.Secret
	plain  atomic.Bool // the scheme that API.md 1 has; else v1, which every organization takes
}

// servers are those of --url, with one key for all.
func (b *backfilling) servers(cmd *cobra.Command) ([]*signedServer, error) {
	urls := b.urls
	if len(urls) == 0 {
		urls = []string{""}
	}
	var all []*signedServer
	for _, text := range urls {
		flags := *b.server
		flags.url = text
		c, err := flags.open(cmd)
		if err != nil {
			return nil, err
		}
		if u, err := url.Parse(c.url); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, usagef(cmd, "--url is %q: it must be http:// or https:// and a host", c.url)
		}
		s := &signedServer{client: c, secret: auth.NewSecret(signingSecret())}
		if s.secret.IsZero() && c.key.IsZero() {
			return nil, usagef(cmd, "a credential is missing: give --key, %s or --data-dir, or %s for an organization in hmac mode", keyEnv, signingEnv)
		}
		all = append(all, s)
	}
	return all, nil
}

func isLoopback(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	if u.Hostname() == "localhost" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}

// Send implements backfill.Server.
func (s *signedServer) Send(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error) {
	if s.secret.IsZero() || !strings.HasPrefix(path, webhooks) {
		if s.key.IsZero() {
			return nil, leadevents.Errorf(leadevents.Unauthenticated, "this needs an API key: --key or %s", keyEnv)
		}
		response, err := s.sendWith(ctx, method, path, header, bytes.NewReader(body))
		return response, judged(err)
	}
	plain := s.plain.Load()
	response, err := s.sendSigned(ctx, method, path, header, body, plain)
	if !plain && leadevents.KindOf(err) == leadevents.Unauthenticated {
		// The clock here may be wrong, or the server knows no timestamps.
		if response, err = s.sendSigned(ctx, method, path, header, body, true); err == nil {
			s.plain.Store(true)
		}
	}
	return response, judged(err)
}

func (s *signedServer) sendSigned(ctx context.Context, method, path string, header http.Header, body []byte, plain bool) (*http.Response, error) {
	header = header.Clone()
	if plain {
		header.Set(auth.SignatureHeader, auth.Sign(s.secret, body))
	} else {
		timestamp, signature := auth.SignAt(s.secret, time.Now(), body)
		header.Set(auth.TimestampHeader, timestamp)
		header.Set(auth.SignatureHeader, signature)
	}
	return s.sendWith(ctx, method, path, header, bytes.NewReader(body))
}

// judged tells what sending again may mend from what it does not.
func judged(err error) error {
	if stranger, ok := errors.AsType[*strangerError](err); ok {
		switch stranger.code {
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return leadevents.Wrap(leadevents.Unavailable, err, "a proxy before the server answers for it")
		}
		return &backfill.HopelessError{Err: err}
	}
	if isA[*tls.CertificateVerificationError](err) {
		return &backfill.HopelessError{Err: err}
	}
	return err
}

var belongsTo = regexp.MustCompile(`belongs to organization ([0-9]+)`)

// organization asks whose key it is. A call must name its organization, and nothing tells a key's
// but the refusal of a call that names another; it is a dry run, so nothing is stored. The
// message is no contract: where it says something else, --organization helps.
func (s *signedServer) organization(ctx context.Context) (leadevents.OrgID, error) {
	const nobody = 1<<53 - 1 // the highest number that there may be
	question := fmt.Sprintf(`{"organizationId":%d,"eventType":"whose key is this?","events":[{}]}`, uint64(nobody))
	response, err := s.send(ctx, http.MethodPost, webhooks+"lead-events?dryRun=true", "application/json", strings.NewReader(question))
	if err == nil {
		_ = response.Body.Close()
		return nobody, nil
	}
	if leadevents.KindOf(err) == leadevents.OrganizationMismatch {
		if found := belongsTo.FindStringSubmatch(err.Error()); found != nil {
			if org, err := strconv.ParseUint(found[1], 10, 64); err == nil {
				return leadevents.OrgID(org), nil
			}
		}
		return 0, fmt.Errorf("the server does not say whose key it is: give --organization (%w)", err)
	}
	if leadevents.KindOf(err) == leadevents.Unauthenticated {
		return 0, fmt.Errorf("%w (for an organization in hmac mode: %s and --organization)", err, signingEnv)
	}
	return 0, err
}
