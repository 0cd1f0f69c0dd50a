package kudari.data;

/** Many seeds from one, any of them reached without the ones before it. */
final class Seeds {

    private Seeds() {}

    /**
     * The nth seed that belongs to a seed. Neighbours have nothing visibly in common, as java.util.Random needs: it hardly scrambles its
     * own. The mixing is SplitMix64's (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
     */
    static long nth(long seed, long n) {
        long z = seed + (n + 1) * 0x9e3779b97f4a7c15L;
        z = (z ^ z >>> 30) * 0xbf58476d1ce4e5b9L;
        z = (z ^ z >>> 27) * 0x94d049bb133111ebL;
        return z ^ z >>> 31;
    }
}
