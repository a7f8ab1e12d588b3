"""What is fetched, received and sent over a network: bundles, DICOM images in, DICOM results out."""
