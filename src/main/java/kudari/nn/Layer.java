package kudari.nn;

import kudari.Tensor;

/** One affine layer and its gradient: weight and dWeight [in, out], bias and dBias [out]. */
record Layer(int in, int out, Tensor weight, Tensor bias, Tensor dWeight, Tensor dBias) {}
