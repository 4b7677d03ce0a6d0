package pipeline

import (
	"fmt"
	"hash/fnv"
	"io"
	"strconv"
	"strings"

	"microtome/slide"
)

// A Shard is part I of N of the slides of a run, counted from 1, for N runs that share the work. The zero
// value is everything.
//
// The name of a slide's results alone decides which part it belongs to. So the runs need not see the same
// slides: one that comes while they run is neither lost nor done twice. And slides of one name fall to one
// run, which tells their folders apart.
type Shard struct{ I, N int }

// maxShards is far more than job arrays have.
const maxShards = 1 << 20

// ParseShard reads a shard such as 3/8.
func ParseShard(s string) (Shard, error) {
	i, n, _ := strings.Cut(s, "/")
	shard := Shard{number(i), number(n)}
	if shard.I < 1 || shard.N < shard.I || shard.N > maxShards {
		return Shard{}, fmt.Errorf("--shard %q: give i/n, such as 3/8 for the third of eight parts", s)
	}
	return shard, nil
}

// number reads digits; anything else is -1.
func number(s string) int {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return -1
	}
	return int(n)
}

// SlurmShard returns the shard of a task of a Slurm job array, by the variables that Slurm sets; false
// outside of one. The ids of an array may start anywhere and have a step. Ids that are missing, as in
// --array=1,3,7, or that do not say where they start, are an error: the tasks could not agree who does what.
func SlurmShard(getenv func(string) string) (Shard, bool, error) {
	const prefix = "SLURM_ARRAY_TASK_"
	if getenv(prefix+"ID") == "" {
		return Shard{}, false, nil
	}
	read := func(name, missing string) int {
		if s := getenv(prefix + name); s != "" {
			return number(s)
		}
		return number(missing)
	}
	id, n, first := read("ID", ""), read("COUNT", ""), read("MIN", "")
	step := read("STEP", "1")
	last := read("MAX", "0") // perhaps beyond the last task, by less than a step
	i := id - first
	if id < 0 || first < 0 || n < 1 || n > maxShards || step < 1 || i < 0 || i%step != 0 || i/step >= n || getenv(prefix+"MAX") != "" && (last-first)/step+1 != n {
		var all []string
		for _, name := range []string{"ID", "COUNT", "MIN", "MAX", "STEP"} {
			all = append(all, fmt.Sprintf("%s%s=%s", prefix, name, getenv(prefix+name)))
		}
		return Shard{}, false, fmt.Errorf("%s do not say which part of how many this task is: give --shard i/n, or --array ids without gaps", strings.Join(all, " "))
	}
	return Shard{i/step + 1, n}, true, nil
}

// Has reports whether the slide at path belongs to s. As for the folder of its results, a link counts by
// the name of the file that it leads to.
func (s Shard) Has(path string) bool {
	if s.N <= 1 {
		return true
	}
	h := fnv.New64a()
	_, _ = io.WriteString(h, resultName(slide.RealPath(path)))
	return mix(h.Sum64())%uint64(s.N) == uint64(s.I-1)
}

// mix lets every bit of x decide every bit of the result: FNV's lowest bits depend on those of the text
// alone. It is the finaliser of MurmurHash3.
func mix(x uint64) uint64 {
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// String gives s as [ParseShard] reads it.
func (s Shard) String() string {
	if s.N == 0 {
		return "1/1"
	}
	return fmt.Sprintf("%d/%d", s.I, s.N)
}
