// Package patch builds the module with a few lines of its source changed, in copies
// that exist for the time of one build: nothing in the product knows of it.
package patch
