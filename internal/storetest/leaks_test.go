package storetest

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

// A checker that finds nothing proves nothing: each way that a secret may be written is
// found, and told where, and not repeated.
func TestASecretIsFoundWhereverItIsWritten(t *testing.T) {
	const secret, apiKey, signing = "hunter2-hunter2", "le_7Kc9QmPxRt_8sYd2mUoQ1vZJw5nH7kR3bTg9xCf4pLeAqNtXyWzVuKj76X3P9", "les_8sYd2mUoQ1vZJw5nH7kR3bTg9xCf4pLeAqNtXyWzVuKj"
	for _, c := range []struct {
		claim, text string
		want        string // empty: nothing is found
	}{
		{"as it is", "level=INFO password=" + secret + " more", "the log tells Redis' password, in line 3: level=INFO password=…"},
		{"at the very end", secret, "Redis' password, in line 3"},
		{"in a URL", "dial redis://:" + secret + "@127.0.0.1", "Redis' password"},
		{"in hex", hex.EncodeToString([]byte(secret)), "Redis' password"},
		{"in upper-case hex", strings.ToUpper(hex.EncodeToString([]byte(secret))), "Redis' password"},
		{"in base64", base64.StdEncoding.EncodeToString([]byte(secret)), "Redis' password"},
		{"as fmt prints bytes", fmt.Sprint([]byte(secret)), "Redis' password"},
		{"in a panic", "panic: open {Addr:x Password:" + secret + "}\n\ngoroutine 1 [running]:", "Redis' password"},
		{"an API key that nobody registered", "refused " + apiKey, "an API key, in line 3: refused …"},
		{"a signing secret that nobody registered", signing, "a signing secret"},
		{"all but its end", secret[:len(secret)-1], ""},
		{"the prefix of a key", "le_7Kc9QmPxRt is revoked", ""},
		{"its mask", "password=[secret]", ""},
		{"nothing", "", ""},
	} {
		t.Run(c.claim, func(t *testing.T) {
			l := leaks{secrets: map[string]string{}, outputs: map[string]*output{}}
			log := l.output("the log")
			fmt.Fprintln(l.output("another log"), "all is well")
			fmt.Fprint(log, "one line\nand another\n")
			for i := range len(c.text) { // byte by byte: a secret may be cut in two writes
				_, _ = io.WriteString(log, c.text[i:i+1])
			}
			l.secret("Redis' password", secret, "", "short") // after it was written
			err := l.check()
			switch {
			case c.want == "" && err != nil:
				t.Errorf("found %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			case err != nil && strings.Contains(err.Error(), secret), err != nil && strings.Contains(err.Error(), apiKey):
				t.Errorf("the failure repeats the secret: %v", err)
			}
		})
	}
}

func TestOutputsAreWrittenByManyAtOnce(t *testing.T) {
	l := leaks{secrets: map[string]string{}, outputs: map[string]*output{}}
	l.secret("the token", "the-operators-token")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 100 {
				fmt.Fprintf(l.output(fmt.Sprintf("log %d", i%2)), "all is well\n")
			}
		})
	}
	all.Wait()
	if err := l.check(); err != nil {
		t.Error(err)
	}
	fmt.Fprint(l.output("log 1"), "the-operators-token")
	if err := l.check(); err == nil || !strings.Contains(err.Error(), "log 1 tells the token, in line 401") {
		t.Errorf("%v", err)
	}
}
