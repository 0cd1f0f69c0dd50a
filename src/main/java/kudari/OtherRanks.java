package kudari;

/** What a step must know of the parameters and gradients of other ranks, which this rank does not step. */
interface OtherRanks {

    /** There are none. */
    OtherRanks NONE = new OtherRanks() {
        @Override
        public double[] partials(double[] own) {
            return own;
        }

        @Override
        public float smallest(boolean has, float own) {
            return own;
        }

        @Override
        public boolean[] active(boolean[] own) {
            return own;
        }
    };

    /**
     * The sums of squares of all ranks' gradients, piece by piece in the order of all names: what one optimizer of all parameters has.
     *
     * @param own those of this rank, in the order of its names
     */
    double[] partials(double[] own);

    /**
     * The smallest factor of all ranks' gradients.
     *
     * @param has whether this rank has gradients
     * @param own the smallest of them
     */
    float smallest(boolean has, float own);

    /**
     * Which groups take part in a step: those that have a parameter on some rank.
     *
     * @param own those that have one on this rank
     */
    boolean[] active(boolean[] own);
}
