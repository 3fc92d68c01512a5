package loadgen

import (
	"strings"

	"leadevents"
)

// country is one country's mobile numbers: its calling code, a few prefixes
// after it, and how many free digits follow. Every completion of every prefix is
// a valid mobile number to libphonenumber; a test holds that.
type country struct {
	region   string
	code     uint64
	free     int // digits after the prefix
	slots    int // of 256: how frequent
	prefixes string
}

// countries are 30, in the proportions of a company that sells in English first.
func countries() []country {
	return []country{
		{"US", 1, 6, 79, "4728 5126 4589 8657 8042 7483 7252 8726 8148 6057 3506 9733 8327 3245 3097 2096 6303 6403 9853 3378 " +
			"6615 7857 7185 2086 7438 3088 5094 3525 4723 9087 7276 5722 7405 5595 8607 2272 7632 6515 7283 8219 " +
			"8788 9527 5136 2186 3868 3862 6314 4488 7576 9154 9295 5829 7209 3207 7484 9757 4344 4752 3294 2834 " +
			"7718 3198 5827 6315 9796 3264 7282 7486 2165 6055 3325 4249 8315 6692 3348 5616 6184 7382 3235"},
		{"CA", 1, 6, 8, "3653 3656 4683 7424 2498 5812 9055 7423"},
		{"GB", 44, 7, 16, "777 720 737 740 753 713 781 712"},
		{"DE", 49, 8, 16, "174 157 151 150 160 159 152 162"},
		{"FR", 33, 6, 10, "637 680 648 602 604 673 661 633"},
		{"ES", 34, 6, 8, "637 680 648 602 604 673 661 633"},
		{"IT", 39, 7, 8, "343 330 336 331 375 397 366 395"},
		{"NL", 31, 6, 5, "637 680 648 633 653"},
		{"BE", 32, 6, 3, "468 455 491"},
		{"PL", 48, 6, 5, "504 602 604 455 661"},
		{"SE", 46, 6, 3, "720 737 701"},
		{"NO", 47, 6, 2, "91 46"},
		{"DK", 45, 6, 2, "26 28"},
		{"PT", 351, 6, 3, "968 960 926"},
		{"AT", 43, 6, 3, "680 673 661"},
		{"IE", 353, 6, 2, "868 863"},
		{"RO", 40, 6, 3, "777 720 737"},
		{"CZ", 420, 6, 3, "602 604 777"},
		{"BR", 55, 8, 12, "169 469 159 539 669 449 829 439"},
		{"MX", 52, 7, 10, "996 817 637 343 330 995 648 468"},
		{"CO", 57, 7, 4, "305 350 321 317"},
		{"IN", 91, 7, 16, "996 817 637 995 648 602 604 942"},
		{"PH", 63, 7, 6, "996 817 995 942 968 960"},
		{"ID", 62, 6, 6, "817 822 881 863 875 858"},
		{"AU", 61, 6, 8, "468 455 491 460 417 493 414 409"},
		{"NZ", 64, 6, 2, "225 215"},
		{"ZA", 27, 6, 3, "817 637 680"},
		{"NG", 234, 7, 4, "817 906 805 913"},
		{"AE", 971, 6, 2, "504 554"},
		{"JP", 81, 7, 4, "906 805 701 909"},
	}
}

// numberRange is the phones first … first+size−1.
type numberRange struct{ first, size uint64 }

// ranges deals the countries' prefixes out to the slots; a country with more
// slots than prefixes uses its prefixes again.
var ranges = func() (table [slots]numberRange) {
	n := 0
	for _, c := range countries() {
		prefixes := strings.Fields(c.prefixes)
		for i := range c.slots {
			first, size := c.code, uint64(1)
			for _, digit := range prefixes[i%len(prefixes)] {
				first = first*10 + uint64(digit-'0')
			}
			for range c.free {
				first, size = first*10, size*10
			}
			table[n] = numberRange{first, size}
			n++
		}
	}
	return table
}()

// phone is the phone of a lead of the pool. Two leads may share one: about 2 % of
// the leads of a pool of 10 million do.
func (g *Generator) phone(lead uint64) leadevents.Phone {
	r := g.random(ofPhone, lead)
	slot := ranges[r>>56]
	return leadevents.Phone(slot.first + r&(1<<56-1)%slot.size)
}

// Phone is the phone of lead number n of the pool, n below Config.Leads. Lead 0
// is the busiest.
func (g *Generator) Phone(n uint64) leadevents.Phone { return g.phone(n) }
