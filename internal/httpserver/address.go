package httpserver

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// ClientAddress is where the request comes from: the other end of the connection or,
// where that is one of [Config].TrustedProxies, whom it names in X-Forwarded-For. It
// goes into logs and the audit log, and is no credential. Zero if there is none.
func ClientAddress(c *fiber.Ctx) netip.Addr {
	ctx := c.Context()
	return requestOf(ctx).srv.clientAddress(ctx)
}

func (s *Server) clientAddress(ctx *fasthttp.RequestCtx) netip.Addr {
	peer, ok := ctx.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	address := plainAddr(peer.AddrPort().Addr())
	if len(s.cfg.TrustedProxies) == 0 || !s.trusted(address) {
		return address
	}
	// Each proxy adds whom it heard from at the end, so the list is believed from its
	// end on for as long as a trusted one has written it; what is before that is
	// whatever the client sent.
	lines := ctx.Request.Header.PeekAll(fasthttp.HeaderXForwardedFor)
	for _, line := range slices.Backward(lines) {
		for list := string(line); list != ""; {
			entry := list
			if i := strings.LastIndexByte(list, ','); i >= 0 {
				list, entry = list[:i], list[i+1:]
			} else {
				list = ""
			}
			hop, ok := parseHop(strings.TrimSpace(entry))
			if !ok {
				return address // nobody can be believed before it
			}
			address = hop
			if !s.trusted(address) {
				return address
			}
		}
	}
	return address
}

func (s *Server) trusted(a netip.Addr) bool {
	return slices.ContainsFunc(s.cfg.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// parseHop reads an address as proxies write it, some with a port.
func parseHop(text string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return plainAddr(a), true
	}
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return plainAddr(ap.Addr()), true
	}
	return netip.Addr{}, false
}

// plainAddr makes one address have one spelling: no IPv4 inside IPv6, no zone.
func plainAddr(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
