package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// SignatureHeader carries the signature of a webhook in hmac mode.
const SignatureHeader = "X-Setter-Signature"

const signaturePrefix = "sha256="

// parseSignature reads "sha256=" and 64 hex digits of either case; nothing may
// surround them.
func parseSignature(header string) (mac [sha256.Size]byte, err error) {
	digits, ok := strings.CutPrefix(header, signaturePrefix)
	if !ok {
		return mac, errors.New(SignatureHeader + " does not begin with " + signaturePrefix)
	}
	if len(digits) != hex.EncodedLen(len(mac)) {
		return mac, fmt.Errorf("%s has %d characters after %s, not the 64 hex digits of an HMAC-SHA256", SignatureHeader, len(digits), signaturePrefix)
	}
	if _, err := hex.Decode(mac[:], []byte(digits)); err != nil {
		return mac, fmt.Errorf("%s has a character after %s that is no hex digit", SignatureHeader, signaturePrefix)
	}
	return mac, nil
}

// Sign is the header's value for a body, as clients make it.
func Sign(secret Secret, body []byte) string {
	return signaturePrefix + hex.EncodeToString(sign([]byte(secret.Reveal()), body))
}

func sign(secret, body []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write(body)
	return h.Sum(nil)
}

// signedBy finds the key that made the signature. The comparison takes the same
// time wherever the first difference lies. Without any key one HMAC is computed
// all the same, under a key that nobody has, so that the time of the answer does
// not tell an unknown organization from one with a signing key.
func signedBy(keys []*signingEntry, decoy *signingEntry, mac [sha256.Size]byte, body []byte) *signingEntry {
	if len(keys) == 0 {
		_ = hmac.Equal(sign(decoy.secret, body), mac[:])
		return nil
	}
	for _, k := range keys {
		if hmac.Equal(sign(k.secret, body), mac[:]) {
			return k
		}
	}
	return nil
}
