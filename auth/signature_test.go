package auth

import (
	"bytes"
	"sync"
	"testing"
)

// Whichever key has signed is found, whoever signed before, and by many requests at
// once; the one that was found last is tried first.
func TestTheKeyThatHasSignedIsFound(t *testing.T) {
	body := []byte(`{"organizationId":7}`)
	decoy := &signingEntry{secret: []byte("decoy")}
	org := &signers{}
	for _, secret := range []string{"a", "b", "c"} {
		org.keys = append(org.keys, &signingEntry{id: secret, secret: []byte(secret)})
	}
	by := func(secret string) signature {
		s, err := parseSignature(Sign(NewSecret(secret), body), "")
		if err != nil {
			t.Error(err)
		}
		return s
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 300 {
				want := org.keys[i*i%len(org.keys)]
				if got := org.signedBy(decoy, by(want.id), body); got != want {
					t.Errorf("signed by %s, found %+v", want.id, got)
				}
				if got := org.signedBy(decoy, by("decoy"), body); got != nil {
					t.Errorf("signed by nobody, found %s", got.id)
				}
			}
		})
	}
	all.Wait()
	org.signedBy(decoy, by("c"), body)
	if last := org.last.Load(); last != org.keys[2] {
		t.Errorf("the last one is %+v", last)
	}
	if (*signers)(nil).signedBy(decoy, by("decoy"), body) != nil || (&signers{}).signedBy(decoy, by("decoy"), body) != nil {
		t.Error("the decoy signs for an organization without keys")
	}
}

// BenchmarkSignedBy checks the signature of a call of 80 events.
func BenchmarkSignedBy(b *testing.B) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 640)
	decoy := &signingEntry{secret: []byte("decoy")}
	org := &signers{keys: []*signingEntry{{id: "a", secret: []byte("a secret of some length")}}}
	header := Sign(NewSecret("a secret of some length"), body)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		s, err := parseSignature(header, "")
		if err != nil || org.signedBy(decoy, s, body) == nil {
			b.Fatal(err)
		}
	}
}
