package httpserver

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"net"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"leadevents"
)

// statuses is the one table from error kind to HTTP status (API.md 0).
var statuses = [...]int{
	leadevents.Internal:             fasthttp.StatusInternalServerError,
	leadevents.InvalidJSON:          fasthttp.StatusBadRequest,
	leadevents.InvalidRequest:       fasthttp.StatusBadRequest,
	leadevents.InvalidQuery:         fasthttp.StatusBadRequest,
	leadevents.QueryLimit:           fasthttp.StatusUnprocessableEntity,
	leadevents.Unauthenticated:      fasthttp.StatusUnauthorized,
	leadevents.OrganizationMismatch: fasthttp.StatusForbidden,
	leadevents.Forbidden:            fasthttp.StatusForbidden,
	leadevents.NotFound:             fasthttp.StatusNotFound,
	leadevents.Conflict:             fasthttp.StatusConflict,
	leadevents.BodyTooLarge:         fasthttp.StatusRequestEntityTooLarge,
	leadevents.UnsupportedMediaType: fasthttp.StatusUnsupportedMediaType,
	leadevents.RateLimited:          fasthttp.StatusTooManyRequests,
	leadevents.Unavailable:          fasthttp.StatusServiceUnavailable,
}

// Status is the HTTP status of an error kind.
func Status(kind leadevents.Kind) int {
	if int(kind) < len(statuses) {
		return statuses[kind]
	}
	return fasthttp.StatusInternalServerError
}

// internalMessage is all a client learns of a bug.
const internalMessage = "an internal error occurred; the server's log has its cause under this requestId"

// protocolError is a failure of HTTP itself, for which the closed list of
// kinds has a code but not the status that HTTP clients expect: 405, 408, 431.
type protocolError struct {
	status int
	err    *leadevents.Error
}

// Error is the carried error's.
func (e *protocolError) Error() string { return e.err.Error() }

// Unwrap makes the carried error visible to errors.As and KindOf.
func (e *protocolError) Unwrap() error { return e.err }

var (
	errNoPath = leadevents.Errorf(leadevents.NotFound,
		"there is no such path; /api/v1/openapi.yaml lists those that exist")
	// A known path with another method: the status and the Allow header are
	// HTTP's, the code is the closed list's nearest.
	errMethod = &protocolError{fasthttp.StatusMethodNotAllowed, leadevents.Errorf(leadevents.NotFound,
		"this path does not have that method; the Allow header lists those it has")}
)

// errGone is for a request on a connection that was closed for another one. Nobody
// reads it.
var errGone = leadevents.Errorf(leadevents.Unavailable, "the connection was closed for a new one (%s)", SettingMaxConnections)

// errAwaitBody is what body readers return while the client still waits for
// "100 Continue": the request is handled again from its start once the body
// may be read. It never reaches a client.
var errAwaitBody = errors.New("the body has not been asked for yet")

// Fail answers the request with err: status and code by its kind, the message
// only if it is a [leadevents.Error]; anything else is 500 with a generic
// sentence, its cause logged with the request id. The result is nil, so that
// a handler can end with "return Fail(c, err)"; returning err does the same.
func Fail(c *fiber.Ctx, err error) error {
	failCtx(c.Context(), err)
	return nil
}

// failCtx is Fail below Fiber.
func failCtx(ctx *fasthttp.RequestCtx, err error) {
	r := requestOf(ctx)
	if errors.Is(err, errAwaitBody) {
		r.awaitBody = true
		return
	}
	status, e := classify(err)
	r.failed(status, e, err)

	header := &ctx.Response.Header
	if status == fasthttp.StatusTooManyRequests || status == fasthttp.StatusServiceUnavailable {
		header.Set(fasthttp.HeaderRetryAfter, strconv.Itoa(retryAfterSeconds(e.RetryAfter)))
	}
	if status == fasthttp.StatusUnauthorized {
		// RFC 9110 11.6.1 asks for a challenge with every 401.
		header.Set(fasthttp.HeaderWWWAuthenticate, "Bearer")
	}
	ctx.Response.ResetBody()
	ctx.SetStatusCode(status)
	header.SetContentType(fiber.MIMEApplicationJSON)
	ctx.Response.SetBodyRaw(errorBody(e, r.id))
}

// classify finds status and client-visible error of err.
func classify(err error) (int, *leadevents.Error) {
	if e, ok := errors.AsType[*protocolError](err); ok {
		return e.status, e.err
	}
	if e, ok := errors.AsType[*leadevents.Error](err); ok && e.Kind != leadevents.Internal {
		return Status(e.Kind), e
	}
	if e, ok := errors.AsType[*fiber.Error](err); ok {
		switch e.Code {
		case fasthttp.StatusNotFound:
			return fasthttp.StatusNotFound, errNoPath
		case fasthttp.StatusMethodNotAllowed:
			return errMethod.status, errMethod.err
		}
	}
	return fasthttp.StatusInternalServerError, &leadevents.Error{Kind: leadevents.Internal, Message: internalMessage}
}

// errorBody is the envelope of API.md 0.
func errorBody(e *leadevents.Error, requestID string) []byte {
	var body struct {
		Error errorJSON `json:"error"`
	}
	body.Error = errorJSON{Code: e.Kind.Code(), Message: e.Message, RequestID: requestID}
	b, err := json.Marshal(body)
	if err != nil { // three strings always marshal
		panic(err)
	}
	return b
}

type errorJSON struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	RequestID string `json:"requestId"`
}

// retryAfterSeconds is d in whole seconds, rounded up, at least one.
func retryAfterSeconds(d time.Duration) int {
	return max(1, int(math.Ceil(d.Seconds())))
}

// readFailure tells why a body could not be read to its end.
func (s *Server) readFailure(err error, got int64, want int) error {
	if timedOut(err) {
		return &protocolError{fasthttp.StatusRequestTimeout, leadevents.Errorf(leadevents.InvalidRequest,
			"the body did not arrive within %s (%s)", s.cfg.BodyTimeout, SettingBodyTimeout)}
	}
	if want >= 0 {
		return leadevents.Wrap(leadevents.InvalidRequest, err,
			"the body was cut short: %d of %d bytes arrived", got, want)
	}
	return leadevents.Wrap(leadevents.InvalidRequest, err,
		"the chunked body was cut short or is malformed after %d bytes", got)
}

func timedOut(err error) bool {
	netErr, ok := errors.AsType[net.Error](err)
	return ok && netErr.Timeout()
}

// streamTimeout is for a streamed body that came too slowly, or not at all.
func (s *Server) streamTimeout(slow bool) error {
	if slow {
		return &protocolError{fasthttp.StatusRequestTimeout, leadevents.Errorf(leadevents.InvalidRequest,
			"the body came too slowly: a MiB of it has %s (%s)", s.cfg.BodyTimeout, SettingBodyTimeout)}
	}
	return &protocolError{fasthttp.StatusRequestTimeout, leadevents.Errorf(leadevents.InvalidRequest,
		"nothing of the body came for %s (%s)", s.cfg.BodyIdleTimeout, SettingBodyIdleTimeout)}
}

// beforeRouting answers what fasthttp could not read as a request. It tells
// nothing of the bytes read: fasthttp's own errors quote them, and a request
// line may hold a phone.
func (s *Server) beforeRouting(ctx *fasthttp.RequestCtx, err error) {
	var failure error
	netErr, isNet := errors.AsType[net.Error](err)
	_, tooLong := errors.AsType[*fasthttp.ErrSmallBuffer](err)
	switch {
	case tooLong:
		failure = &protocolError{fasthttp.StatusRequestHeaderFieldsTooLarge, leadevents.Errorf(leadevents.InvalidRequest,
			"request line and headers are longer than %d bytes (%s)", s.cfg.MaxHeaderBytes, SettingMaxHeaderBytes)}
	case isNet && netErr.Timeout():
		failure = &protocolError{fasthttp.StatusRequestTimeout, leadevents.Errorf(leadevents.InvalidRequest,
			"the request did not arrive in time: %s for its headers (%s), %s for its body (%s)",
			s.cfg.HeaderTimeout, SettingHeaderTimeout, s.cfg.BodyTimeout, SettingBodyTimeout)}
	case errors.Is(err, io.ErrUnexpectedEOF):
		failure = leadevents.Errorf(leadevents.InvalidRequest, "the request was cut short")
	default:
		failure = leadevents.Errorf(leadevents.InvalidRequest, "the request is not well-formed HTTP/1.1")
	}
	r := s.begin(ctx)
	failCtx(ctx, failure)
	r.malformed = true
	s.finish(ctx, r)
}
