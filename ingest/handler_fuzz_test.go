package ingest

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"leadevents"
)

// FuzzIdempotencyKey: a key is what was sent, once, and fits; all else is refused.
func FuzzIdempotencyKey(f *testing.F) {
	for _, seed := range []string{"", "call-1", strings.Repeat("é", 200), strings.Repeat("é", 201), "\xff", " a ", "a\tb", "a\r\nb"} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	app := fiber.New()
	f.Fuzz(func(t *testing.T, sent string, twice bool) {
		ctx := &fasthttp.RequestCtx{}
		ctx.Request.Header.Add("Idempotency-Key", sent)
		if twice {
			ctx.Request.Header.Add("Idempotency-Key", sent)
		}
		arrived := string(ctx.Request.Header.Peek("Idempotency-Key"))
		c := app.AcquireCtx(ctx)
		defer app.ReleaseCtx(c)
		key, err := idempotencyKey(c)
		n := utf8.RuneCountInString(arrived)
		fits := !twice && n >= 1 && n <= 200 && utf8.ValidString(arrived)
		if fits != (err == nil) || fits && key != arrived {
			t.Fatalf("%q: %q, %v", arrived, key, err)
		}
		if err != nil && leadevents.KindOf(err) != leadevents.InvalidRequest {
			t.Fatal(err)
		}
	})
}
