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
        public boolean any(boolean own) {
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

    /** Whether something is so on any rank. */
    boolean any(boolean own);

    /**
     * Which groups take part in a step: those that have a parameter on some rank.
     *
     * @param own those that have one on this rank
     */
    boolean[] active(boolean[] own);
}
