package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"
)

// The headers of a webhook in hmac mode: its signature, and with the scheme v1 the
// moment of signing, in seconds since 1970.
const (
	SignatureHeader = "X-Setter-Signature"
	TimestampHeader = "X-Setter-Timestamp"
)

// The two schemes: the HMAC is over the body as sent, or over the timestamp as sent,
// a dot, and the body as sent.
const (
	signaturePrefix   = "sha256="
	timestampedPrefix = "v1="
)

// signature is what a request says who has signed it.
type signature struct {
	mac [sha256.Size]byte
	// timestamp is signed in front of the body, as it was sent; empty under the plain
	// scheme, where the header means nothing. A timestamp is digits alone, so no body
	// can be taken for a timestamp and another body.
	timestamp string
	at        time.Time
}

// parseSignature reads "sha256=" or "v1=" and 64 hex digits of either case; nothing
// may surround them. v1 needs the timestamp beside it.
func parseSignature(header, timestamp string) (s signature, err error) {
	prefix := signaturePrefix
	if strings.HasPrefix(header, timestampedPrefix) {
		prefix = timestampedPrefix
	}
	digits, ok := strings.CutPrefix(header, prefix)
	if !ok {
		return s, errors.New(SignatureHeader + " does not begin with " + signaturePrefix + " or " + timestampedPrefix)
	}
	if len(digits) != hex.EncodedLen(len(s.mac)) {
		return s, fmt.Errorf("%s has %d characters after %s, not the 64 hex digits of an HMAC-SHA256", SignatureHeader, len(digits), prefix)
	}
	if _, err := hex.Decode(s.mac[:], []byte(digits)); err != nil { // it has decoded what stands before
		return signature{}, fmt.Errorf("%s has a character after %s that is no hex digit", SignatureHeader, prefix)
	}
	if prefix == timestampedPrefix {
		if s.at, err = parseTimestamp(timestamp); err != nil {
			return signature{}, err
		}
		s.timestamp = timestamp
	}
	return s, nil
}

// Sign is the header's value for a body, as clients make it.
func Sign(secret Secret, body []byte) string {
	return signaturePrefix + hex.EncodeToString(sign([]byte(secret.Reveal()), "", body))
}

// SignAt is both headers' values under the scheme v1, as clients make them.
func SignAt(secret Secret, at time.Time, body []byte) (timestamp, signature string) {
	timestamp = fmt.Sprint(at.Unix())
	return timestamp, timestampedPrefix + hex.EncodeToString(sign([]byte(secret.Reveal()), timestamp, body))
}

func sign(secret []byte, timestamp string, body []byte) []byte {
	h := hmac.New(sha256.New, secret)
	if timestamp != "" {
		_, _ = io.WriteString(h, timestamp+".") // a hash never fails
	}
	h.Write(body)
	return h.Sum(nil)
}

// signers is an organization's active signing keys, newest first. Each key needs a
// pass of its own over the body: an HMAC begins with its key, so nothing of the pass is
// common to two. Hence the one that has signed the last request is tried first: but
// for the moments of a change a request that is signed costs one pass, and only one
// that none has signed costs all. Which that is need not be exact.
type signers struct {
	keys []*signingEntry
	last atomic.Pointer[signingEntry]
}

// signedBy finds the key that made the signature. The comparison takes the same
// time wherever the first difference lies. Without any key one HMAC is computed
// all the same, under a key that nobody has, so that the time of the answer does
// not tell an unknown organization from one with a signing key.
func (o *signers) signedBy(decoy *signingEntry, s signature, body []byte) *signingEntry {
	if o == nil || len(o.keys) == 0 {
		_ = hmac.Equal(sign(decoy.secret, s.timestamp, body), s.mac[:])
		return nil
	}
	made := func(k *signingEntry) bool { return hmac.Equal(sign(k.secret, s.timestamp, body), s.mac[:]) }
	last := o.last.Load()
	if last != nil && made(last) {
		return last
	}
	for _, k := range o.keys {
		if k != last && made(k) {
			o.last.Store(k)
			return k
		}
	}
	return nil
}
