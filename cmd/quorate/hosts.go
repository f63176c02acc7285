package main

import (
	"net"
	"strings"
)

const (
	// labelBytesMax bounds one label of a name (RFC 1035 §2.3.4). An address in a genesis has
	// room for names of hostBytesMax with their port, a little less than the 253 of that.
	labelBytesMax, hostBytesMax = 63, 241
	// clusterNameBytesMax bounds the name of a cluster, as a genesis does.
	clusterNameBytesMax = 64

	digits = "0123456789"
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// made tells whether s has nothing but these characters.
func made(s, of string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(of, r) })
}

// isClusterName tells whether a genesis takes the name.
func isClusterName(s string) bool {
	return s != "" && len(s) <= clusterNameBytesMax && made(s, lower+digits+"-")
}

// hostProblem tells what is wrong with an address or a name where replicas are to run, or
// nothing.
func hostProblem(h string) string {
	if ip := net.ParseIP(h); ip != nil {
		if ip.IsUnspecified() || ip.IsMulticast() {
			return "nobody can connect to it"
		}
		return ""
	}
	name := strings.TrimSuffix(h, ".") // which says that it is a whole name
	if name == "" || !made(name, lower+upper+digits+"-_.") {
		return "it is neither"
	}
	if len(h) > hostBytesMax {
		return "it is too long"
	}
	labels := strings.Split(name, ".")
	for _, l := range labels {
		switch {
		case l == "":
			return "a part of the name is empty"
		case len(l) > labelBytesMax:
			return "a part of the name is longer than 63 bytes"
		case l[0] == '-' || l[len(l)-1] == '-':
			return "a part of the name begins or ends with -"
		}
	}
	if made(labels[len(labels)-1], digits) {
		return "it is no IPv4 address, and no name ends with a number"
	}
	return ""
}

// sameHost tells whether two hosts without a problem are spellings of one.
func sameHost(a, b string) bool {
	if ip := net.ParseIP(a); ip != nil {
		return ip.Equal(net.ParseIP(b))
	}
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}
