package auth

import (
	"crypto/sha256"
	"crypto/subtle"

	"leadevents"
)

// OperatorToken guards the administration of organizations (API.md 6). It is a
// setting, not a stored credential; the zero value refuses everybody.
type OperatorToken struct {
	sum [sha256.Size]byte
	set bool
}

// NewOperatorToken keeps the token's SHA-256; an empty token refuses everybody.
func NewOperatorToken(token Secret) OperatorToken {
	if token.IsZero() {
		return OperatorToken{}
	}
	return OperatorToken{sum: sha256.Sum256([]byte(token.Reveal())), set: true}
}

// Check accepts an Authorization header that carries the token, and is a 401
// otherwise. Sums are compared, so neither the length nor the bytes of the token
// show in the time it takes.
func (o OperatorToken) Check(authorization string) error {
	if authorization == "" {
		return leadevents.Errorf(leadevents.Unauthenticated, "no credential was sent: Authorization: Bearer with the operator token was expected")
	}
	token, err := bearer(authorization)
	if err != nil {
		return leadevents.Errorf(leadevents.Unauthenticated, "%s", err)
	}
	if !o.set {
		return leadevents.Errorf(leadevents.Unauthenticated, "this server has no operator token, so organizations cannot be administered over HTTP: set LEADEVENTS_OPERATOR_TOKEN")
	}
	sum := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(sum[:], o.sum[:]) != 1 {
		return leadevents.Errorf(leadevents.Unauthenticated, "the operator token is not this server's")
	}
	return nil
}
