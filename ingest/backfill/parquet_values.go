package backfill

import (
	"encoding/base64"
	"encoding/hex"
	"math"
	"math/big"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"leadevents/internal/rawjson"
)

// appendValue appends a value as JSON.
type appendValue func(dst []byte, v *parquet.Value) []byte

// instant is a value as a moment; without zoned it is a local time.
type instant func(v *parquet.Value) (t time.Time, zoned bool)

// fractions is how many digits the seconds of a time in metadata have: as many
// as its column has.
var fractions = map[time.Duration]int{time.Millisecond: 3, time.Microsecond: 6, time.Nanosecond: 9}

// valueOf is how a type's values are written, and whether they are texts.
func valueOf(typ parquet.Type) (_ appendValue, text bool) {
	if logical := typ.LogicalType(); logical != nil {
		switch t := logical.Value.(type) {
		case *format.StringType, *format.EnumType:
			return appendText, true
		case *format.JsonType:
			return appendJSON, true
		case *format.UUIDType:
			return appendUUID, false
		case *format.NullType:
			return func(dst []byte, _ *parquet.Value) []byte { return append(dst, "null"...) }, false
		case *format.IntType:
			if !t.IsSigned {
				return appendUnsigned, false
			}
		case *format.DecimalType:
			scale := int(t.Scale)
			return func(dst []byte, v *parquet.Value) []byte { return appendDecimal(dst, v, scale) }, false
		case *format.TimeType:
			unit := unitDuration(t.Unit)
			layout := "15:04:05.000000000"[:len("15:04:05.")+fractions[unit]]
			return func(dst []byte, v *parquet.Value) []byte {
				return quoteTime(dst, time.Unix(0, 0).UTC().Add(time.Duration(integer(v))*unit), layout)
			}, false
		case *format.DateType:
			return func(dst []byte, v *parquet.Value) []byte { return quoteTime(dst, date(v), "2006-01-02") }, false
		case *format.TimestampType:
			at, fraction := instantOf(typ), fractions[unitDuration(t.Unit)]
			return func(dst []byte, v *parquet.Value) []byte {
				moment, zoned := at(v)
				return quoteStamp(dst, moment, fraction, zoned)
			}, false
		case *format.Float16Type:
			return appendFloat16, false
		}
	}
	switch typ.Kind() {
	case parquet.Int96:
		return func(dst []byte, v *parquet.Value) []byte {
			return quoteStamp(dst, int96Time(v.Int96()), 9, true)
		}, false
	case parquet.Boolean, parquet.Int32, parquet.Int64, parquet.Float, parquet.Double:
		return appendPlain, false
	}
	return appendBytes, false
}

// instantOf is how a type's values are read as moments, nil if they are none.
func instantOf(typ parquet.Type) instant {
	if logical := typ.LogicalType(); logical != nil {
		switch t := logical.Value.(type) {
		case *format.TimestampType:
			unit, zoned := unitDuration(t.Unit), t.IsAdjustedToUTC
			return func(v *parquet.Value) (time.Time, bool) {
				n, perSecond := v.Int64(), int64(time.Second/unit)
				return time.Unix(floorDiv(n, perSecond), (n-floorDiv(n, perSecond)*perSecond)*int64(unit)).UTC(), zoned
			}
		case *format.DateType:
			return func(v *parquet.Value) (time.Time, bool) { return date(v), false }
		}
	}
	if typ.Kind() == parquet.Int96 {
		return func(v *parquet.Value) (time.Time, bool) { return int96Time(v.Int96()), true }
	}
	return nil
}

func unitDuration(unit format.TimeUnit) time.Duration {
	switch unit.Value.(type) {
	case *format.MilliSeconds:
		return time.Millisecond
	case *format.MicroSeconds:
		return time.Microsecond
	}
	return time.Nanosecond
}

func date(v *parquet.Value) time.Time { return time.Unix(int64(v.Int32())*86400, 0).UTC() }

// int96Time is Impala's timestamp: nanoseconds of the day, then the Julian day.
func int96Time(v deprecated.Int96) time.Time {
	const julianDay1970 = 2440588
	nanos := int64(v[0]) | int64(v[1])<<32
	return time.Unix((int64(v[2])-julianDay1970)*86400, nanos).UTC()
}

func quoteTime(dst []byte, t time.Time, layout string) []byte {
	return append(t.AppendFormat(append(dst, '"'), layout), '"')
}

func quoteStamp(dst []byte, t time.Time, fraction int, zoned bool) []byte {
	dst = appendStamp(append(dst, '"'), t, fraction)
	if zoned {
		dst = append(dst, 'Z')
	}
	return append(dst, '"')
}

func integer(v *parquet.Value) int64 {
	if v.Kind() == parquet.Int32 {
		return int64(v.Int32())
	}
	return v.Int64()
}

// appendText appends a text that is known to be UTF-8.
func appendText(dst []byte, v *parquet.Value) []byte {
	return rawjson.AppendQuoted(dst, v.ByteArray())
}

// appendJSON appends JSON as it is, what only claims to be JSON as a text.
func appendJSON(dst []byte, v *parquet.Value) []byte {
	text := v.ByteArray()
	s := rawjson.Scanner{}
	s.Begin(text)
	i := s.Blank(0)
	if end := s.Value(i, maxDepth); end >= 0 && s.Blank(end) == len(text) {
		return rawjson.AppendCompact(dst, text)
	}
	return appendText(dst, v)
}

func appendUUID(dst []byte, v *parquet.Value) []byte {
	id := v.ByteArray()
	if len(id) != 16 {
		return appendBytes(dst, v)
	}
	dst = append(dst, '"')
	for i, cut := range []int{0, 4, 6, 8, 10} {
		if i > 0 {
			dst = append(dst, '-')
		}
		end := []int{4, 6, 8, 10, 16}[i]
		dst = hex.AppendEncode(dst, id[cut:end])
	}
	return append(dst, '"')
}

func appendUnsigned(dst []byte, v *parquet.Value) []byte {
	if v.Kind() == parquet.Int32 {
		return strconv.AppendUint(dst, uint64(v.Uint32()), 10)
	}
	return strconv.AppendUint(dst, v.Uint64(), 10)
}

// appendDecimal appends the exact number: 297.00.
func appendDecimal(dst []byte, v *parquet.Value, scale int) []byte {
	var n big.Int
	switch v.Kind() {
	case parquet.Int32, parquet.Int64:
		n.SetInt64(integer(v))
	default: // two's complement, the highest byte first
		b := v.ByteArray()
		n.SetBytes(b)
		if len(b) > 0 && b[0]&0x80 != 0 {
			n.Sub(&n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
		}
	}
	if n.Sign() < 0 {
		dst = append(dst, '-')
		n.Neg(&n)
	}
	start := len(dst)
	dst = n.Append(dst, 10)
	if scale <= 0 {
		return dst
	}
	for len(dst)-start <= scale { // 5 of scale 2 is 0.05
		dst = append(dst, 0)
		copy(dst[start+1:], dst[start:])
		dst[start] = '0'
	}
	dst = append(dst, 0)
	point := len(dst) - 1 - scale
	copy(dst[point+1:], dst[point:])
	dst[point] = '.'
	return dst
}

// appendPlain appends what JSON has itself; NaN and infinities, which it has not, as null.
func appendPlain(dst []byte, v *parquet.Value) []byte {
	switch v.Kind() {
	case parquet.Boolean:
		return strconv.AppendBool(dst, v.Boolean())
	case parquet.Float:
		return appendFloat(dst, float64(v.Float()), 32)
	case parquet.Double:
		return appendFloat(dst, v.Double(), 64)
	}
	return strconv.AppendInt(dst, integer(v), 10)
}

func appendFloat(dst []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	form := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) { // as ECMAScript writes numbers
		form = 'e'
	}
	return strconv.AppendFloat(dst, f, form, -1, bits)
}

func appendFloat16(dst []byte, v *parquet.Value) []byte {
	b := v.ByteArray()
	if len(b) != 2 {
		return appendBytes(dst, v)
	}
	bits := uint16(b[0]) | uint16(b[1])<<8
	exponent, fraction := int(bits>>10&31), float64(bits&1023)
	f := math.Ldexp(1+fraction/1024, exponent-15)
	switch exponent {
	case 0:
		f = math.Ldexp(fraction/1024, -14)
	case 31:
		f = math.NaN() // or infinite
	}
	if bits>>15 == 1 {
		f = -f
	}
	return appendFloat(dst, f, 32)
}

func appendBytes(dst []byte, v *parquet.Value) []byte {
	dst = base64.StdEncoding.AppendEncode(append(dst, '"'), v.ByteArray())
	return append(dst, '"')
}
