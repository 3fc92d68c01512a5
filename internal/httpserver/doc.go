// Package httpserver is the HTTP front of the lead event store: it reads
// requests within bounds, turns errors into answers by one table, and makes
// sure that a client gets to read its answer.
//
// # For authors of handlers
//
// Handlers are Fiber's; register them on [Server.App] before [Server.Serve].
//
//	app.Post("/api/v1/sends/:sendId", httpserver.Precheck(1<<20), auth, func(c *fiber.Ctx) error {
//		id, err := httpserver.Param(c, "sendId")
//		…
//		var in sendRequest
//		if err := httpserver.ReadJSON(c, 1<<20, &in); err != nil {
//			return err
//		}
//		send, err := sends.Put(httpserver.Context(c), org, id, in)
//		if err != nil {
//			return err // the table decides the status
//		}
//		return c.Status(fiber.StatusCreated).JSON(send)
//	})
//
// The rules behind it:
//
//   - Errors: return them. A [leadevents.Error] is answered with its kind's
//     status and its message; every other error is a 500 with a generic
//     sentence, and only the log has its text. [Fail] does it on the spot.
//   - Order of the contract: [Precheck] (415, 413), then authentication (401),
//     then the body (400), then 403.
//   - Bodies: [ReadJSON] for everything but ingest; [ReadBody] for the bytes as
//     sent (a signature) and decompressed, released by the handler; [StreamBody]
//     for uploads without a limit. Never c.Body(): it has no limit.
//   - Read the body before any effect. A client that sends "Expect:
//     100-continue" has its handler run up to the first read, to learn of a
//     401 or 413 before it sends, and then once more from the start.
//   - Strings and bytes that c gives (c.Params, c.Query, c.Get) are only valid
//     until the handler returns, and change afterwards: strings.Clone what is
//     kept, stored in a cache or given to a goroutine. [Param] and [RequestID]
//     are copies.
//   - Contexts: [Context] (or c.UserContext()), not c.Context(), which ends when
//     a shutdown begins rather than when it gives up.
//   - c.JSON writes with go-json-experiment: nil slices are [], nil maps {}.
//   - Log lines and metrics carry the route's pattern, never the path: paths
//     and query strings hold phones. [SetOrganization] adds the organization.
//   - [ClientAddress] is where a request comes from: for logs and the audit log, no
//     credential.
//   - Security headers are added to every answer; Content-Security-Policy and
//     Cache-Control stay what the handler has set.
//   - A path parameter may hold an escaped slash (%2F): routing sees the path
//     as sent, [Param] unescapes.
//
// # What a client sees beside the contract's table
//
// HTTP's own failures have the status that HTTP clients know and the nearest
// code of the closed list: a known path with another method is 405 with Allow
// and code not_found, headers too long are 431 and a request that does not
// arrive in time is 408, both invalid_request. Every answer has X-Request-Id,
// those to bytes that are not HTTP too.
//
// # Slow and silent clients
//
//	handshake, headers   Config.HeaderTimeout each
//	a body               BodyTimeout; streamed: for each MiB, BodyIdleTimeout for a pause
//	an answer            WriteTimeout for each piece
//	the next request     IdleTimeout
//
// While the server is full, connections that wait for their client (but not for it to
// take an answer, or to send a streamed body) make room for new ones, that which has
// waited longest first. A body on its way holds no place among MaxRequests; it holds
// what it has filled of the body memory.
//
// # Answering a client that is still sending
//
// Closing a socket while bytes of its client are unread makes the kernel send
// a reset, and a reset discards the answer on the client's side. So a
// connection whose request body was not read to its end is closed in steps:
//
//	answer (Connection: close) → FIN → read and drop → client ends → close
//
// bounded in time ([Config].LingerTimeout, at most 5 s of it without a byte), in bytes (256 MiB) and in number (1,024; beyond that closed at
// once). A remainder of up to 256 KiB of known length is read instead, and the
// connection kept.
package httpserver
